package sheet

import (
	"fmt"
	"regexp"
	"strings"
)

// refuse returns why a file cannot be read with a delimiter, and which flags
// may help.
func (c *columns) refuse(lines []string, want Columns, problem error) *RefusalError {
	r := &RefusalError{Problem: problem.Error()}
	var offer, submission, encoded, landing []int
	for i := 0; i < len(lines) && len(r.Rows) < previewRows; {
		var rec record
		rec, i = next(lines, i, c.delimiter, nil)
		if blank(rec) {
			continue
		}
		if rec.err != nil {
			rec.cells = []string{rec.text}
		}
		r.Rows = append(r.Rows, rec.cells)
		for at, cell := range rec.cells {
			switch cell = clean(cell); {
			case looksLikeData(cell) && looksLikeOffer(cell):
				offer = append(offer, at)
			case looksLikeData(cell) && looksLikeSubmission(cell):
				submission = append(submission, at)
			case strings.HasPrefix(cell, "v1."):
				encoded = append(encoded, at)
			case strings.Contains(cell, "submission=") && strings.Contains(cell, "offer="):
				landing = append(landing, at)
			}
		}
	}
	if len(r.Rows) > 0 && hasData(r.Rows[0]) {
		r.Problem = "The first line is data: there is no header"
		r.Advice = "Add a first line with column names, among them offer and submission, or tracking"
		return r
	}
	flag := func(name string, at []int) string {
		column := "NAME"
		if len(at) > 0 && at[0] < len(c.header) && len(c.named(c.header[at[0]])) == 1 {
			column = fmt.Sprintf("%q", c.header[at[0]])
		}
		return name + " " + column
	}
	pair := flag("--offer-column", offer) + " " + flag("--submission-column", submission)
	switch {
	case offer == nil && submission == nil && encoded != nil:
		r.Advice = "Give " + flag("--tracking-column", encoded)
	case offer == nil && submission == nil && landing != nil:
		r.Advice = "Give " + flag("--url-column", landing)
	default:
		r.Advice = "Give " + pair + ", or --tracking-column NAME, or --url-column NAME for landing URLs. If the first line is data, add a line with column names before it"
	}
	if want.Delimiter == 0 {
		r.Advice += ". If the columns are split wrongly above, give --delimiter comma, semicolon or tab"
	}
	return r
}

// hasData reports whether a first row has IDs, so that it is no header.
func hasData(cells []string) bool {
	for _, cell := range cells {
		if looksLikeData(clean(cell)) {
			return true
		}
	}
	return false
}

// id matches SparkLoop's IDs and no column names.
var id = regexp.MustCompile(`^(?i:offer|submission|offer_submission)_[0-9A-Za-z]*[0-9][0-9A-Za-z]*$`)

// looksLikeData reports whether a text is an ID and no column name.
func looksLikeData(text string) bool {
	return strings.HasPrefix(text, "v1.") || len(text) > len("offer_")+5 && id.MatchString(text)
}
