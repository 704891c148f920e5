package console

import "regexp"

// QuoteMeta is [regexp.QuoteMeta] for what a board printed, which need not be UTF-8: a
// prompt in Latin-1, or one with a bit that got lost on the line. regexp.Compile refuses
// such bytes, and a regular expression takes each for U+FFFD when it is matched; that is
// how they are quoted here, so that one byte that is no UTF-8 stands for any. It may be
// called concurrently.
func QuoteMeta(text string) string { return regexp.QuoteMeta(string([]rune(text))) }
