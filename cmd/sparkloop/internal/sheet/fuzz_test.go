package sheet_test

import (
	"bytes"
	"encoding/csv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/cmd/sparkloop/internal/sheet"
)

// bare returns a cell without invisible characters.
func bare(cell string) string {
	return strings.TrimFunc(cell, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b' })
}

// names are the normalized names of columns that may have an ID.
var names = []string{"offer", "submission", "tracking", "landing", "url"}

// FuzzRead checks that only IDs from columns with a known name are sent.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"offer,submission\no,s\n",
		"submission;offer;x\ns;o;1;;\n;;\n",
		"a\toffer_id\tsubmission_id\n\to\ts\n",
		"\xff\xfeo\x00f\x00f\x00e\x00r\x00,\x00s\x00u\x00b\x00m\x00i\x00s\x00s\x00i\x00o\x00n\x00\n\x00o\x00,\x00s\x00",
		"\ufeffoffer,submission\r\no,s\r\n\r\n",
		"order,\"note\",offer,submission\n1,\"a,o1,s1\n2,b\",o2,s2\n3,\"x\"\"y\",o3,s3",
		"offer,submission,submission\no,s,t",
		"offer,submission\nsubmission_1,offer_1\nsubmission,offer\n",
		"tracking\nv1.o.s.1700000000\n",
		"url,x\nhttps://a.example/?offer=o&submission=s,1",
		"sep=;\noffer;submission\no;s",
		"offer,submission\n\"o\",\"s\n\",5\" x,y\n",
		"Angebot,submission,offer\x00\n1,2,3",
		"gr\xf6\xdfe;offer;submission\n\xfc;o;s",
		"offer\nsubmission\n",
		"1001,o,s\n1002,o,s\n",
		"offer,suBmis sion\n0,1",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := sheet.Read(data, sheet.Columns{})
		if err != nil {
			if _, ok := err.(*sheet.RefusalError); !ok { //nolint:errorlint // exactly that
				t.Fatalf("%T", err)
			}
			return
		}
		plain := utf8.Valid(data) && !bytes.ContainsAny(data, "\"\r")
		lines := strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")
		last := 0
		for _, l := range s.Lines {
			if l.Number <= last {
				t.Fatalf("line %d comes after line %d", l.Number, last)
			}
			last = l.Number
			if l.Tracking.IsZero() {
				continue
			}
			if l.Err != nil || l.Tracking.Validate() != nil || l.Tracking.Offer == l.Tracking.Submission {
				t.Fatalf("%+v", l)
			}
			if len(l.Cells) != len(s.Header) {
				t.Fatalf("%d cells under %d names", len(l.Cells), len(s.Header))
			}
			if plain {
				cells := strings.Split(lines[l.Number-1], string(s.Delimiter))
				if !slices.Equal(cells[:len(s.Header)], l.Cells) {
					t.Fatalf("%q was read as %q", cells, l.Cells)
				}
			}
			if !stands(s.Header, l.Cells, l.Tracking) {
				t.Fatalf("%s does not stand in %q under %q", l.Tracking.Key(), l.Cells, s.Header)
			}
		}
	})
}

// stands reports whether the IDs are in columns with their names.
func stands(header, cells []string, tr sparkloop.Tracking) bool {
	under := func(word string, good func(string) bool) bool {
		for i, name := range header {
			name = strings.ToLower(strings.Map(func(r rune) rune {
				if unicode.IsSpace(r) || strings.ContainsRune("-._", r) {
					return -1
				}
				return r
			}, name))
			if strings.Contains(name, word) && slices.ContainsFunc(names, func(n string) bool { return strings.Contains(name, n) }) && good(bare(cells[i])) {
				return true
			}
		}
		return false
	}
	is := func(id string) func(string) bool { return func(cell string) bool { return cell == id } }
	if under("offer", is(tr.Offer)) && under("submission", is(tr.Submission)) {
		return true
	}
	if under("tracking", func(cell string) bool { return strings.HasPrefix(cell, "v1."+tr.Offer+"."+tr.Submission+".") }) {
		return true
	}
	url := func(cell string) bool {
		got, err := sparkloop.ParseTracking(cell)
		return err == nil && got.Key() == tr.Key()
	}
	return under("landing", url) || under("url", url)
}

// FuzzWritten writes a file with columns in any order, and reads back exactly
// the written conversions.
func FuzzWritten(f *testing.F) {
	f.Add(uint64(1), "a note, with \"quotes\"\nand lines", "submission_1", false)
	f.Add(uint64(2), "offer;submission\tx", "s", true)
	f.Add(uint64(77), "a,o1,s1\n2,b", "s-2", false)
	f.Fuzz(func(t *testing.T, seed uint64, note, submission string, mark bool) {
		random := rand.New(rand.NewPCG(seed, 0))
		header := []string{"Order", "Note", "Offer UUID", "Submission-ID", "Paid"}
		row := []string{"1001", note, "offer_a", submission, "2026-01-02"}
		order := random.Perm(len(header))
		shuffle := func(in []string) (out []string) {
			for _, i := range order {
				out = append(out, in[i])
			}
			return out
		}
		var file bytes.Buffer
		if mark {
			file.WriteString("\ufeff")
		}
		out := csv.NewWriter(&file)
		out.Comma = []rune(",;\t")[random.IntN(3)]
		if out.UseCRLF = random.IntN(2) == 0; out.UseCRLF { // encoding/csv then drops them
			note, submission = strings.ReplaceAll(note, "\r", ""), strings.ReplaceAll(submission, "\r", "")
			row[1], row[3] = note, submission
		}
		second := []string{"1002", "x", "offer_b", "second", ""}
		if err := out.WriteAll([][]string{shuffle(header), shuffle(row), shuffle(second)}); err != nil {
			t.Skip()
		}
		s, err := sheet.Read(file.Bytes(), sheet.Columns{})
		if !utf8.ValidString(note + submission) {
			return // read as Latin-1
		}
		if err != nil {
			if strings.Contains(err.Error(), "another header") || strings.Contains(err.Error(), "swapped") {
				return
			}
			t.Fatal(err)
		}
		want := sparkloop.Tracking{Offer: "offer_a", Submission: bare(submission)}
		for _, l := range s.Lines {
			switch key := l.Tracking.Key(); {
			case l.Tracking.IsZero(), key == want.Key(), key == "offer_b/second":
			case strings.Contains(note, "\n") && stands(s.Header, l.Cells, l.Tracking):
				// The note has a line that is a record itself.
			default:
				t.Fatalf("%s was read from %q", key, file.String())
			}
		}
		if last := s.Lines[len(s.Lines)-1]; !strings.Contains(note+submission, "\n") && last.Tracking.Key() != "offer_b/second" {
			t.Fatalf("the second line is lost: %+v", s.Lines)
		}
		if want.Validate() == nil && !strings.ContainsAny(note+submission, "\n\r") && !strings.Contains(submission, "offer") &&
			want.Submission != "offer_a" && s.Lines[0].Tracking.Key() != want.Key() {
			t.Fatalf("the first line is lost: %+v", s.Lines)
		}
	})
}
