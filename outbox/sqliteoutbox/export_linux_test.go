package sqliteoutbox

// Place returns the log's text for a file system's number.
func Place(number uint32) string { return places[number] }
