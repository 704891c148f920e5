// Package bundle reads, checks and makes flasher bundles: OCI artefacts with a
// manifest that describes a board, and the kernel, initramfs and device trees
// that boot it into the environment where its storage is written.
//
// The format is Jumpstarter's (apiVersion jumpstarter.dev/v1alpha1, kind
// FlashBundleManifest); its bundles work unchanged, and what this package makes
// is what its build script pushes.
//
// # Opening
//
// [Open] takes an OCI reference, an OCI layout (directory or tar) or a plain
// directory; [OpenFS] an [io/fs.FS]. [Bundle.Manifest] then gives the checked
// manifest, [Bundle.Open] the files, and [Bundle.With] a bundle in which some
// of it is replaced. [KnownBoards] are presets by the name of a board.
//
// # Cache
//
// What comes from a registry or layout goes through a cache that is filed by
// digest ([Cache], [WithCacheDir]) and that several processes may share. A tag
// is looked up each time, and only what changed is fetched. Where the registry
// cannot be reached, the digest that the tag meant last is used and
// [Bundle.Warnings] says so; [WithRequireFresh] forbids that, [WithOffline]
// forbids the network.
//
// # Making
//
// [WriteTemplate] starts a bundle for a new board, [Lint] says what is missing
// or cannot boot, [Create] writes an OCI layout and [Push] a registry.
//
// # Trust
//
// Nothing in a bundle is believed before it is checked: sizes and digests of
// all blobs, the number and size of layers and files, what a folder layer
// unpacks to ([Limits]). Paths that are absolute, leave the bundle, or are
// links are refused. File names of a bundle are never used on this machine's
// disk. A manifest, however, names commands that run on the board: who may
// write to the repository of a bundle decides what happens there, so pin a
// digest where that matters.
package bundle
