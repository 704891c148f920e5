// Package image brings a disk image from where it is, in whatever form, to raw
// bytes that a board can be given in any order.
//
// [Open] names a [Source]: a local file, standard input, an http(s) URL or an
// OCI reference. [Prepare] reads the source once, in the background: it undoes
// the compression that the contents (never the file name) tell, computes the
// SHA-256 of the file as stored and of the raw bytes, cuts the raw bytes into
// chunks with a digest each, and keeps the result as a sparse file in a cache.
// A [Prepared] image can be read at any offset while it is still being
// prepared. The next Prepare of the same source finds it in the cache and only
// verifies it.
//
// A raw local file is not copied: it is read where it is, only its digests are
// kept, and each chunk is compared with its digest whenever it is read. Bytes
// that somebody changed meanwhile are [ErrChanged] and never given out.
//
// [NewReader] is the decompressor alone, [Stream] reads an image once without
// any disk, and [Inspect] tells a person what is in a file.
package image
