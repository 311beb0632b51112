package query

import (
	"net/url"
	"strings"
)

// ampersands are the spellings of "&" in HTML and JSON. "&amp;" is missing: its
// "&" separates parameters, and "amp;" is trimmed from the next name.
var ampersands = strings.NewReplacer(
	`\u0026`, "&", "%5Cu0026", "&", "%5cu0026", "&",
	"&#38;", "&", "&#038;", "&", "&#x26;", "&", "&#X26;", "&",
	"&%2338;", "&", "&%23038;", "&", "&%23x26;", "&", "&%23X26;", "&",
)

// Ampersands returns a URL or a query with "&" in place of its HTML and JSON
// escapes.
func Ampersands(s string) string { return ampersands.Replace(s) }

// Of returns the query of a landing URL, and whether it may have a submission.
// If only the path may have a submission, Of returns the text after the first
// "?" or "&" in the path: a "?" that was escaped, or replaced by "&".
func Of(u *url.URL) (rawQuery string, may bool) {
	if MayRead(u.RawQuery) {
		return u.RawQuery, true
	}
	if _, behind, may := inPath(u); may {
		return behind, true
	}
	return u.RawQuery, false
}

// inPath splits a path at its query, if the query may have a submission.
func inPath(u *url.URL) (path, rawQuery string, may bool) {
	i := -1
	if MayRead(u.Path) { // faster than IndexAny
		i = strings.IndexAny(u.Path, "?&")
	}
	if i < 0 {
		return u.Path, "", false
	}
	path, rawQuery = u.Path[:i], u.Path[i+1:]
	return path, rawQuery, MayRead(rawQuery)
}

// Clean returns the path and the query of a landing URL without the parameters
// that Read returns. The rest is unchanged, byte for byte, unless the query was
// in the path.
func Clean(u *url.URL) (escapedPath, rawQuery string) {
	if path, behind, may := inPath(u); may && !MayRead(u.RawQuery) {
		rest := (&url.URL{Path: "/" + Without(behind)}).EscapedPath()[1:]
		return (&url.URL{Path: path}).EscapedPath(), strings.Trim(rest+"&"+u.RawQuery, "&")
	}
	return u.EscapedPath(), Without(u.RawQuery)
}
