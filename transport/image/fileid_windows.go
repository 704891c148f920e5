package image

import "io/fs"

// fileID has nothing that os.Stat gives for free on Windows; size and time
// have to do.
func fileID(fs.FileInfo) string { return "" }
