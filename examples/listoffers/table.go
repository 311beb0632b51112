package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"github.com/sparkloop-go/sparkloop"
)

// How many characters a cell may have. Ids are made to be copied, so they are
// as long as the SDK takes them.
const (
	maxID   = 128
	maxName = 40
	maxWord = 20
)

// printTable writes the offers and, as the last line, how many there are;
// complete says whether these are all.
func printTable(w io.Writer, offers []sparkloop.Offer, complete bool) error {
	if len(offers) > 0 {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tNAME\tTYPE\tEVENT\tCPA\tSTATUS")
		for _, o := range offers {
			fmt.Fprintln(table, strings.Join([]string{
				printable(o.UUID, maxID),
				printable(o.Name, maxName),
				printable(string(o.ConversionType), maxWord),
				printable(o.ConversionEvent, maxWord),
				o.CPA.String(),
				printable(o.Status, maxWord),
			}, "\t"))
		}
		fmt.Fprintln(table)
		if err := table.Flush(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, countLine(len(offers), complete))
	return err
}

func countLine(n int, complete bool) string {
	line := fmt.Sprintf("%d offers", n)
	switch n {
	case 0:
		line = "no offers"
	case 1:
		line = "1 offer"
	}
	if !complete {
		line += ", and then the list broke off"
	}
	return line
}

// printable makes a text from the API fit for one cell on a terminal: what
// could move the cursor, change colours or turn the direction of writing
// becomes a space, and a text longer than most characters ends in an ellipsis.
// A cell is never empty, so that the columns stay countable.
func printable(text string, most int) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return r == ' ' || r == utf8.RuneError || !unicode.IsPrint(r)
	}), " ")
	if text == "" {
		return "-"
	}
	if letters := []rune(text); len(letters) > most {
		return strings.TrimRight(string(letters[:most-1]), " ") + "…"
	}
	return text
}
