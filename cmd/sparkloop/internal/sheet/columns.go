package sheet

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Columns names the columns to read. An empty one is found by its name.
type Columns struct {
	Offer, Submission, Tracking, Landing, Time string
	Delimiter                                  rune // 0: detected from the header
}

// delimiters are the delimiters to detect.
const delimiters = ",;\t"

// previewRows is the number of rows in a RefusalError.
const previewRows = 4

// Known column names, as normal returns them.
var (
	offerNames      = []string{"offer", "offerid", "offeruuid", "sparkloopoffer", "sparkloopofferid", "sparkloopofferuuid"}
	submissionNames = []string{
		"submission", "submissionid", "submissionuuid", "offersubmission", "offersubmissionid", "offersubmissionuuid",
		"sparkloopsubmission", "sparkloopsubmissionid", "sparkloopsubmissionuuid",
	}
	trackingNames = []string{"tracking", "sparklooptracking"}
	landingNames  = []string{"landingurl", "landingpageurl", "landingpage", "landingsite", "landing", "url"}
	// The first present column is used. Payment comes first, because
	// conversions are confirmed for payments.
	paidNames = []string{"paidat", "paidon", "paymentdate", "datepaid", "paid"}
	timeNames = []string{"createdat", "createdon", "created", "datecreated", "orderdate", "orderedat", "date", "time", "timestamp"}
)

// unpaid are cells that mean an unpaid order.
var unpaid = []string{"", "false", "f", "no", "n", "0", "unpaid", "pending", "null", "-"}

// Unpaid reports whether a line is an unpaid order: its time column is one of
// payment, and the cell is empty or negative.
func (s *Sheet) Unpaid(l Line) bool {
	if s.time < 0 || len(l.Cells) <= s.time || !slices.Contains(paidNames, normal(s.Time)) {
		return false
	}
	return slices.Contains(unpaid, strings.ToLower(clean(l.Cells[s.time])))
}

// columns are indexes into header. -1 means none.
type columns struct {
	header    []string
	delimiter rune
	after     int // the line after the header

	offer, submission, encoded, landing, time int
}

// findColumns reads the header with each delimiter, and returns the one with
// which the header names the needed columns.
func findColumns(lines []string, want Columns) (*columns, error) {
	var found []*columns
	var refused error
	var most int
	for _, delimiter := range delimiters {
		if want.Delimiter != 0 && want.Delimiter != delimiter {
			continue
		}
		c := &columns{delimiter: delimiter}
		first, ok := c.readHeader(lines)
		if !ok {
			return nil, &RefusalError{Problem: "The file is empty", Advice: "Add a header with the names of the columns"}
		}
		err := first.err
		if err == nil {
			err = c.find(want)
		}
		switch {
		case err == nil:
			found = append(found, c)
		case refused == nil || len(first.cells) > most:
			refused, most = c.refuse(lines, want, err), len(first.cells)
		}
	}
	switch len(found) {
	case 0:
		return nil, refused
	case 1:
		return found[0], nil
	}
	slices.SortStableFunc(found, func(a, b *columns) int { return len(b.header) - len(a.header) })
	if n := len(found[0].header); n > 1 && n == len(found[1].header) {
		return nil, &RefusalError{
			Problem: "The header can be read with more than one delimiter", Rows: [][]string{found[0].header, found[1].header},
			Advice: "Give --delimiter comma, semicolon or tab",
		}
	}
	return found[0], nil
}

// readHeader reads the first record that is not blank.
func (c *columns) readHeader(lines []string) (record, bool) {
	for i := 0; i < len(lines); {
		var r record
		r, i = next(lines, i, c.delimiter, nil)
		if blank(r) {
			continue
		}
		c.after = i
		for _, cell := range r.cells {
			c.header = append(c.header, clean(cell))
		}
		for n := len(c.header); n > 0 && c.header[n-1] == ""; n-- {
			c.header = c.header[:n-1]
		}
		return r, true
	}
	return record{}, false
}

// find finds the columns by name. Its error is a sentence without its period.
func (c *columns) find(want Columns) error {
	c.offer, c.submission, c.encoded, c.landing, c.time = -1, -1, -1, -1, -1
	var ambiguous error // about columns that are not needed beside offer and submission
	given := want.Offer+want.Submission+want.Tracking+want.Landing != ""
	for _, role := range []struct {
		at    *int
		what  string
		flag  string
		name  string
		known []string
		pair  bool
	}{
		{&c.offer, "offer", "--offer-column", want.Offer, offerNames, want.Offer+want.Submission != ""},
		{&c.submission, "submission", "--submission-column", want.Submission, submissionNames, want.Offer+want.Submission != ""},
		{&c.encoded, "tracking", "--tracking-column", want.Tracking, trackingNames, false},
		{&c.landing, "landing URL", "--url-column", want.Landing, landingNames, false},
		{&c.time, "time", "--time-column", want.Time, nil, true},
	} {
		var at []int
		switch {
		case role.name != "":
			at = c.named(role.name)
			if len(at) == 0 {
				return fmt.Errorf("The column %q given by %s does not exist", role.name, role.flag) //nolint:staticcheck // a sentence
			}
			if looksLikeData(role.name) {
				return fmt.Errorf("%s names %q, but the first line is data, not a header", role.flag, role.name)
			}
		case !given || role.pair:
			at = c.known(role.known)
		}
		switch {
		case len(at) > 1 && (role.at == &c.encoded || role.at == &c.landing) && role.name == "":
			ambiguous = fmt.Errorf("More than one column may be the %s: %s", role.what, c.quoted(at)) //nolint:staticcheck // likewise
		case len(at) > 1:
			return fmt.Errorf("More than one column may be the %s: %s", role.what, c.quoted(at)) //nolint:staticcheck // likewise
		case len(at) == 1:
			*role.at = at[0]
		}
	}
	if c.time < 0 {
		for _, name := range slices.Concat(paidNames, timeNames) {
			if at := c.known([]string{name}); len(at) > 0 {
				c.time = at[0]
				break
			}
		}
	}
	switch {
	case c.offer >= 0 && c.submission >= 0:
		return nil
	case c.encoded >= 0, c.landing >= 0:
		if want.Offer+want.Submission == "" {
			c.offer, c.submission = -1, -1
			return nil
		}
		fallthrough
	case ambiguous != nil:
		return ambiguous
	case c.offer >= 0:
		return fmt.Errorf("The column %q is the offer, but no column is the submission", c.name(c.offer)) //nolint:staticcheck // likewise
	case c.submission >= 0:
		return fmt.Errorf("The column %q is the submission, but no column is the offer", c.name(c.submission)) //nolint:staticcheck // likewise
	}
	return fmt.Errorf("No column has a known name for the offer and the submission") //nolint:staticcheck // likewise
}

// named returns the columns with the given name.
func (c *columns) named(name string) (at []int) {
	for i, cell := range c.header {
		if strings.EqualFold(cell, clean(name)) {
			at = append(at, i)
		}
	}
	return at
}

// known returns the columns with one of the names.
func (c *columns) known(names []string) (at []int) {
	for i, cell := range c.header {
		if slices.Contains(names, normal(cell)) {
			at = append(at, i)
		}
	}
	return at
}

// normal returns a name without case and separators: Offer ID, offer_id,
// offer-id and offerId are equal.
func normal(name string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || strings.ContainsRune("-._", r) {
			return -1
		}
		return r
	}, clean(name)))
}

func (c *columns) name(i int) string {
	if i < 0 {
		return ""
	}
	return c.header[i]
}

func (c *columns) quoted(at []int) string {
	names := make([]string, len(at))
	for i, n := range at {
		names[i] = fmt.Sprintf("%q", c.header[n])
	}
	return strings.Join(names, ", ")
}

// String names the columns of the IDs.
func (c *columns) String() string {
	var parts []string
	for _, part := range []struct {
		what string
		at   int
	}{{"offer", c.offer}, {"submission", c.submission}, {"tracking", c.encoded}, {"landing URL", c.landing}} {
		if part.at >= 0 {
			parts = append(parts, fmt.Sprintf("%s from %q", part.what, c.name(part.at)))
		}
	}
	return strings.Join(parts, ", ")
}

const (
	noHeader = iota
	sameHeader
	otherHeader
)

// headerAgain reports whether a row is a header: concatenated files have
// several.
func (c *columns) headerAgain(cells []string) int {
	if c.width(cells) != nil {
		return noHeader
	}
	if slices.EqualFunc(c.header, cells[:len(c.header)], func(name, cell string) bool { return strings.EqualFold(name, clean(cell)) }) {
		return sameHeader
	}
	for _, at := range []int{c.offer, c.submission, c.encoded, c.landing} {
		if at < 0 {
			continue
		}
		name := normal(cells[at])
		for _, names := range [][]string{offerNames, submissionNames, trackingNames, landingNames} {
			if slices.Contains(names, name) {
				return otherHeader
			}
		}
		if name != "" && slices.ContainsFunc(c.header, func(other string) bool { return normal(other) == name }) {
			return otherHeader
		}
	}
	return noHeader
}

// split reads the records from a line on, without blank ones.
func (c *columns) split(lines []string, from int) []record {
	var all []record
	for i := from; i < len(lines); {
		var r record
		r, i = next(lines, i, c.delimiter, c.swallowed)
		if !blank(r) {
			all = append(all, r)
		}
	}
	return all
}

// swallowed reports whether a line within a record is itself a record with
// other IDs, which a stray quotation mark would hide.
func (c *columns) swallowed(lines, cells []string) bool {
	own := ""
	if c.width(cells) == nil {
		t, _ := c.tracking(cells[:len(c.header)])
		own = t.Key()
	}
	for _, line := range lines {
		alone := strings.Split(line, string(c.delimiter))
		for i := range alone {
			alone[i] = strings.Trim(clean(alone[i]), `"`)
		}
		if c.width(alone) != nil {
			continue
		}
		if t, err := c.tracking(alone[:len(c.header)]); err == nil && !t.IsZero() && t.Key() != own {
			return true
		}
	}
	return false
}
