//go:build !linux

package sqliteoutbox

// volatile returns "": only Linux has the check.
func volatile(string) string { return "" }
