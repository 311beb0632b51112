package sheet_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop/cmd/sparkloop/internal/sheet"
)

// outcome returns the result of each line: the key, or the reason against it.
func outcome(t *testing.T, text string, want sheet.Columns) []string {
	t.Helper()
	s, err := sheet.Read([]byte(text), want)
	if err != nil {
		var r *sheet.RefusalError
		require.ErrorAs(t, err, &r)
		return []string{"REFUSED " + r.Problem + ". " + r.Advice}
	}
	out := []string{}
	for _, l := range s.Lines {
		switch {
		case l.Err != nil:
			out = append(out, fmt.Sprintf("%d ERR %v", l.Number, l.Err))
		case l.Tracking.IsZero():
			out = append(out, fmt.Sprintf("%d - %s", l.Number, l.Note))
		default:
			out = append(out, fmt.Sprintf("%d %s", l.Number, l.Tracking.Key()))
		}
	}
	return out
}

const (
	o = "offer_1234abcd"
	s = "submission_1234abcd"
)

func TestColumnsAreFoundByName(t *testing.T) {
	t.Parallel()
	good := []string{"2 " + o + "/" + s}
	for name, text := range map[string]string{
		"the two alone":         "offer,submission\n" + o + "," + s,
		"in the other order":    "submission,offer\n" + s + "," + o,
		"among others":          "order,Offer ID,amount,Submission-UUID,paid_at\n1001," + o + ",9.99," + s + ",2026-01-02",
		"semicolons":            "order;offer_uuid;submission_id\n1001;" + o + ";" + s,
		"semicolons, commas in": "order;offer_uuid;submission_id\n1001,5;" + o + ";" + s,
		"tabs":                  "order\toffer_uuid\tsubmission_id\n1001\t" + o + "\t" + s,
		"empty cells and tabs":  "a\tb\toffer\tsubmission\n\t\t" + o + "\t" + s,
		"CRLF":                  "offer,submission\r\n" + o + "," + s + "\r\n",
		"CR alone":              "offer,submission\r" + o + "," + s + "\r",
		"a byte order mark":     "\uFEFFoffer,submission\n" + o + "," + s,
		"quotes":                "\"offer\",\"submission\"\n\"" + o + "\",\"" + s + "\"",
		"spaces around":         " offer , submission \n " + o + "\u00a0,\t" + s + "\u200b",
		"trailing delimiters":   "offer,submission,,\n" + o + "," + s + ",,,,",
		"an encoded tracking":   "id,sparkloop_tracking\n1,v1." + o + "." + s + ".1700000000",
		"a landing URL":         "landing_page,total\nhttps://shop.example/?utm=1&submission=" + s + "&offer=" + o + ",5",
		"a parcel's tracking":   "tracking,offer,submission\n1Z999AA10123456784," + o + "," + s,
		"all of them":           "tracking,offer,submission,url\nv1." + o + "." + s + ".1700000000," + o + "," + s + ",https://x.example/?submission=" + s + "&offer=" + o,
		"two URLs and the pair": "url,landing_page,offer,submission\nhttps://x.example,https://x.example," + o + "," + s,
		"camel case":            "orderId,offerId,submissionUUID\n1," + o + "," + s,
		"one column":            "tracking\nv1." + o + "." + s + ".1700000000",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, good, outcome(t, text, sheet.Columns{}))
		})
	}
	assert.Equal(t, []string{"3 " + o + "/" + s}, outcome(t, "sep=;\noffer;submission\n"+o+";"+s, sheet.Columns{}), "as Excel writes it")
	assert.Equal(t, []string{"4 " + o + "/" + s}, outcome(t, "\n,,\noffer,submission\n"+o+","+s+"\n\n , \n", sheet.Columns{}), "blank lines")
}

func TestColumnsThatAreGiven(t *testing.T) {
	t.Parallel()
	text := "Bestellung;Angebot;Einsendung;offer\n1001;" + o + ";" + s + ";SUMMER10\n"
	assert.Equal(t, []string{"2 " + o + "/" + s}, outcome(t, text, sheet.Columns{Offer: "angebot", Submission: " Einsendung"}))
	assert.Contains(t, outcome(t, text, sheet.Columns{})[0], `The column "offer" is the offer, but no column is the submission. Give --offer-column "Angebot" --submission-column "Einsendung"`)
	assert.Contains(t, outcome(t, text, sheet.Columns{Offer: "Angebote"})[0], `The column "Angebote" given by --offer-column does not exist`)
	assert.Contains(t, outcome(t, text, sheet.Columns{Offer: "Angebot"})[0], `The column "Angebot" is the offer, but no column is the submission`)
	assert.Equal(t, []string{"2 o/s"}, outcome(t, "offer;x\nv1.o.s.1700000000;1", sheet.Columns{Tracking: "offer"}))
	assert.Equal(t, []string{"2 o/s"}, outcome(t, "lp;offer;submission\nhttps://x.example/?offer=o&submission=s;1;2", sheet.Columns{Landing: "lp"}), "the others are not looked at")
	assert.Contains(t, outcome(t, o+","+s+"\n"+o+",x", sheet.Columns{Offer: o, Submission: s})[0], "The first line is data: there is no header")
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, says string }{
		"empty":             {"", "The file is empty"},
		"blank":             {"\n\n,,,\n", "The file is empty"},
		"no header":         {o + "," + s + "\n", "The first line is data: there is no header. Add a first line"},
		"no header, v1":     {"v1.o.s.1\n", "The first line is data"},
		"UUIDs, no header":  {"2b0c3c1e-0000-4000-8000-000000000001,x\n", "If the first line is data"},
		"order numbers":     {"1001,19.99\n1002,5\n", "No column has a known name"},
		"another language":  {"angebot,einsendung\n" + o + "," + s, `Give --offer-column "angebot" --submission-column "einsendung"`},
		"unknown names":     {"a,b\n1,2", "--offer-column NAME --submission-column NAME"},
		"an encoded one":    {"a,b\n1,v1.o.s.1", `Give --tracking-column "b"`},
		"a landing URL":     {"a,b\n1,https://x.example?submission=s&offer=o", `Give --url-column "b"`},
		"two offers":        {"offer,offer_id,submission\n1,2,3", `More than one column may be the offer: "offer", "offer_id"`},
		"duplicate headers": {"offer,submission,submission\n1,2,3", `More than one column may be the submission: "submission", "submission"`},
		"the offer alone":   {"offer,x\n1,2", `The column "offer" is the offer, but no column is the submission`},
		"the submission":    {"submission\nx", `The column "submission" is the submission, but no column is the offer`},
		"two trackings":     {"tracking,sparkloop_tracking\nx,y", "More than one column may be the tracking"},
		"a title":           {"Orders of May\noffer,submission\no,s", "No column has a known name"},
		"UTF-16, no mark":   {"o\x00f\x00f\x00e\x00r\x00,\x00s\x00\n\x00", "NUL bytes"},
		"not text":          {"\x7fELF\x02\x01\x01\x00\x00", "NUL bytes"},
		"ambiguous":         {"tracking,x;url\n1,2;3", "can be read with more than one delimiter. Give --delimiter"},
		"all swapped":       {"offer,submission\n" + s + "," + o + "\n,\n" + s + "," + o, `The offers and the submissions are swapped. If the header is wrong, give --offer-column "submission" --submission-column "offer"`},
		"another header":    {"offer,submission\no,s\nsubmission,offer\ns2,o2", "Line 3 is another header"},
		"and with others":   {"offer,submission,order\no,s,1\norder,offer,submission\n1,o,s", "Line 3 is another header"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := outcome(t, tt.text, sheet.Columns{})
			require.Len(t, got, 1)
			require.True(t, strings.HasPrefix(got[0], "REFUSED "), got)
			assert.Contains(t, got[0], tt.says)
		})
	}
}

func TestARefusalShowsTheRowsAsRead(t *testing.T) {
	t.Parallel()
	_, err := sheet.Read([]byte("\ufeffAngebot;Notiz\n"+o+";\"a;b\nc\"\n1;2\n3;4\n5;6"), sheet.Columns{})
	var r *sheet.RefusalError
	require.ErrorAs(t, err, &r)
	assert.Equal(t, [][]string{{"Angebot", "Notiz"}, {o, "a;b\nc"}, {"1", "2"}, {"3", "4"}}, r.Rows)
}

func TestOneBadLineDoesNotTouchTheOthers(t *testing.T) {
	t.Parallel()
	good := func(n int) string { return fmt.Sprintf("%d,o%d,s%d,paid", n, n, n) }
	const head = "order,offer,submission,state\n"
	for name, tt := range map[string]struct {
		line string
		want []string // of all lines but 2 and the last
	}{
		"no tracking":        {"1,,,paid", []string{"3 - no tracking"}},
		"no offer":           {"1,,s,paid", []string{`3 ERR no offer in "offer"`}},
		"no submission":      {"1,o,,paid", []string{`3 ERR no submission in "submission"`}},
		"a bad ID":           {"1,o,a/b,paid", []string{`3 ERR "offer" and "submission": an ID has 1 to 128 letters, digits, underscores and hyphens`}},
		"swapped":            {"1," + s + "," + o + ",paid", []string{"3 ERR the two IDs are swapped: the offer column holds a submission, or the submission column an offer"}},
		"swapped, one plain": {"1,offer_submission_1,x,paid", []string{"3 ERR the two IDs are swapped: the offer column holds a submission, or the submission column an offer"}},
		"the same twice":     {"1,x,x,paid", []string{"3 ERR the two IDs are swapped: the offer column holds a submission, or the submission column an offer"}},
		"a cell too few":     {"o,s,paid", []string{"3 ERR 3 cells, but the header has 4: the columns may have moved"}},
		"a cell too many":    {"Smith, John,o,s,paid", []string{"3 ERR 5 cells, but the header has 4: the columns may have moved"}},
		"the header":         {strings.TrimSuffix(head, "\n"), []string{"3 - a repeated header"}},
		"in capitals":        {"ORDER,Offer,SUBMISSION,State", []string{"3 - a repeated header"}},
		"with a mark":        {"\ufeff" + strings.TrimSuffix(head, "\n"), []string{"3 - a repeated header"}},
		"a NUL":              {"1,o\x00,s,paid", []string{`3 ERR "offer" and "submission": an ID has 1 to 128 letters, digits, underscores and hyphens`}},
		"an inch":            {`5" pipe,o,s,paid`, []string{"3 o/s"}},
		"a quoted line end":  {"\"a\nb,o9,s9,\",o,s,paid", []string{"3 o/s"}},
		"a stray quote":      {`1,"o,s,paid`, []string{"3 ERR a quotation mark is not closed, or misplaced"}},
		"a quote that pairs": {"1,\"note,o,s\n2,b\",o2,s2", []string{"3 ERR a quotation mark is not closed, or misplaced", "4 ERR a quotation mark is not closed, or misplaced"}},
		"a long line":        {strings.Repeat("x", 3<<20) + ",o,s,paid", []string{"3 o/s"}},
		"a long quoted line": {`"` + strings.Repeat("x,", 1<<20) + `",o,s,paid`, []string{"3 o/s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := outcome(t, head+good(2)+"\n"+tt.line+"\n"+good(7)+"\n", sheet.Columns{})
			require.GreaterOrEqual(t, len(got), 2)
			assert.Equal(t, "2 o2/s2", got[0])
			assert.Contains(t, got[len(got)-1], " o7/s7")
			if name == "a quote that pairs" {
				// The first line's quote would have hidden the second line,
				// which is read by itself because of its misplaced quote.
				assert.Equal(t, tt.want[0], got[1])
				for _, line := range got[2 : len(got)-1] {
					assert.Contains(t, line, "ERR")
				}
				return
			}
			assert.Equal(t, tt.want, got[1:len(got)-1])
		})
	}
}

func TestAQuoteHidesNoLine(t *testing.T) {
	t.Parallel()
	got := outcome(t, "order,note,offer,submission\n1,\"a,o1,s1\n2,b\",o2,s2\n3,c,o3,s3", sheet.Columns{})
	assert.Equal(t, []string{"2 ERR a quotation mark is not closed, or misplaced", "3 o2/s2", "4 o3/s3"}, got)
	got = outcome(t, "offer,submission,note\no1,s1,\"a note\nof, two lines\"\no2,s2,x", sheet.Columns{})
	assert.Equal(t, []string{"2 o1/s1", "4 o2/s2"}, got, "a real one")
}

func TestColumnsThatDisagree(t *testing.T) {
	t.Parallel()
	got := outcome(t, "tracking,offer,submission\nv1.o.other.1700000000,o,s\nv1.o.s.1700000000,,\nv1.broken,o,s", sheet.Columns{})
	assert.Equal(t, []string{
		`2 ERR "tracking" has other IDs than the other columns`, "3 o/s", `4 ERR "tracking": not an encoded tracking, v1.offer.submission.time`,
	}, got)
	got = outcome(t, "tracking\nnonsense\n\"\"\nv1."+s+"."+o+".1700000000\nv1.o.s.1700000000", sheet.Columns{})
	assert.Equal(t, []string{`2 ERR "tracking": not an encoded tracking, v1.offer.submission.time`, "4 ERR the two IDs are swapped: the offer column holds a submission, or the submission column an offer", "5 o/s"}, got)
}

func TestATestClickIsNotSent(t *testing.T) {
	t.Parallel()
	got := outcome(t, "tracking,x\nv1.o.s.1700000000.test,\nv1.o.s.1700000000,", sheet.Columns{})
	assert.Equal(t, []string{"2 - a test click", "3 o/s"}, got)
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	text := "größe;offer;submission\nü;" + o + ";" + s
	for name, order := range map[string]binary.AppendByteOrder{"UTF-16, little": binary.LittleEndian, "UTF-16, big": binary.BigEndian} {
		var data []byte
		for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
			data = order.AppendUint16(data, unit)
		}
		got, err := sheet.Read(data, sheet.Columns{})
		require.NoError(t, err, name)
		assert.Equal(t, "größe", got.Header[0])
		assert.Equal(t, o+"/"+s, got.Lines[0].Tracking.Key())
	}
	got, err := sheet.Read([]byte(strings.NewReplacer("ö", "\xf6", "ß", "\xdf", "ü", "\xfc").Replace(text)), sheet.Columns{})
	require.NoError(t, err)
	assert.Equal(t, "größe", got.Header[0])
	assert.Equal(t, "ü", got.Lines[0].Cells[0])
}

func TestTimes(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-03-04":                    day,
		"2026-03-04 05:06:07":           day.Add(5*time.Hour + 6*time.Minute + 7*time.Second),
		"2026-03-04T05:06:07.123Z":      day.Add(5*time.Hour + 6*time.Minute + 7*time.Second + 123*time.Millisecond),
		"2026-03-04T05:06:07+05:00":     day.Add(6*time.Minute + 7*time.Second),
		"2026-03-04 05:06:07.5+00":      day.Add(5*time.Hour + 6*time.Minute + 7500*time.Millisecond),
		"2026-03-04 05:06:07 -0500":     day.Add(10*time.Hour + 6*time.Minute + 7*time.Second),
		"2026-03-04 05:06:07 UTC":       day.Add(5*time.Hour + 6*time.Minute + 7*time.Second),
		"04.03.2026":                    day,
		"04.03.2026 05:06":              day.Add(5*time.Hour + 6*time.Minute),
		"1772582400":                    day,
		"1772582400000":                 day,
		"Wed, 04 Mar 2026 00:00:00 GMT": day,
		"":                              {},
	} {
		got, err := sheet.ParseTime(text)
		require.NoError(t, err, text)
		assert.True(t, want.Equal(got), "%s: %s", text, got)
	}
	for _, text := range []string{"03/04/2026", "yesterday", "2026-13-01", "12", "-1772582400"} {
		_, err := sheet.ParseTime(text)
		require.Error(t, err, text)
	}
	now := day.AddDate(0, 0, 45)
	for text, want := range map[string]time.Time{"45d": day, "1080h": day, "2026-03-04": day, "3w": now.AddDate(0, 0, -21)} {
		got, err := sheet.ParseSince(text, now)
		require.NoError(t, err, text)
		assert.True(t, want.Equal(got), text)
	}
	for _, text := range []string{"", "45", "-45d", "0d", "d", "45 days", "99999999d"} {
		_, err := sheet.ParseSince(text, now)
		require.Error(t, err, text)
	}
}

func TestTheTimesColumn(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"offer,submission,created_at,paid_at": "paid_at",
		"offer,submission,paid_at,created_at": "paid_at",
		"offer,submission,Order Date,x":       "Order Date",
		"offer,submission,x,y":                "",
	} {
		got, err := sheet.Read([]byte(header+"\no,s,2026-03-04,03/04/2026"), sheet.Columns{})
		require.NoError(t, err)
		assert.Equal(t, want, got.Time)
	}
	got, err := sheet.Read([]byte("offer,submission,created_at,paid_at\no,s,2026-03-04,\no,t,03/04/2026,"), sheet.Columns{Time: "created_at"})
	require.NoError(t, err)
	assert.Equal(t, 2026, got.Lines[0].Time.Year())
	require.Error(t, got.Lines[1].TimeErr)
	assert.False(t, got.Lines[1].Tracking.IsZero())

	for header, want := range map[string][]bool{"Paid At": {true, true, false, false}, "paid": {true, true, false, false}, "created_at": {false, false, false, false}} {
		got, err := sheet.Read([]byte("offer,submission,"+header+"\no,s,\no,t, NO\no,u,yes\no,v,2026-03-04"), sheet.Columns{})
		require.NoError(t, err)
		for i, l := range got.Lines {
			assert.Equal(t, want[i], got.Unpaid(l), "%s, line %d", header, l.Number)
		}
	}
}
