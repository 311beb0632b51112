package sqliteoutbox

// Place is what the log says of a file system with that number.
func Place(number uint32) string { return places[number] }
