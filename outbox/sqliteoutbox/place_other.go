//go:build !linux

package sqliteoutbox

// volatile says what is wrong with a file's place, which is known on Linux
// alone.
func volatile(string) string { return "" }
