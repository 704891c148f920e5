// Package bundle reads, checks and makes flasher bundles: OCI artefacts with a
// manifest that describes a board, and the kernel, initramfs and device trees
// that boot it into the environment where its storage is written.
//
// The format is Jumpstarter's (apiVersion jumpstarter.dev/v1alpha1, kind
// FlashBundleManifest); its bundles work unchanged.
//
// # Opening
//
// [Open] takes an OCI reference, an OCI layout (directory or tar) or a plain
// directory; [OpenFS] an [io/fs.FS]. What comes from a registry or layout goes
// through a cache that is filed by digest. [Bundle.Manifest] then
// gives the checked manifest, and [Bundle.Open] its files.
//
// # Trust
//
// Nothing in a bundle is believed before it is checked: sizes and digests of
// all blobs, the number and size of layers and files, what a folder layer
// unpacks to. Paths that are absolute, leave the bundle, or are links are
// refused. File names of a bundle are never used on this machine's disk.
package bundle
