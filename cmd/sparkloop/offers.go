package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparkloop-go/sparkloop"
)

// Maximum characters in a cell. IDs are never cut, because users copy them.
const (
	maxID   = 128
	maxName = 40
	maxWord = 20
)

func (a *app) offersCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "offers",
		Short: "List the account's offers",
		Long: `List the account's offers, the newest first. Only conversions of offers of the
type action are confirmed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write, err := offerFormat(output)
			if err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			offers := []sparkloop.Offer{} // [] in JSON, not null
			var broken error
			for offer, err := range client.Offers.All(cmd.Context()) {
				if err != nil {
					broken = err
					break
				}
				offers = append(offers, offer)
			}
			if broken != nil {
				return apiFailure(broken)
			}
			if err := write(a.out, offers); err != nil {
				return failed(fmt.Errorf("write the offers: %w", err))
			}
			return nil
		},
	}
	outputFlag(c, &output)
	return c
}

// outputFlag adds the flag --output to a command.
func outputFlag(c *cobra.Command, to *string, formats ...string) {
	if formats == nil {
		formats = []string{"table", "json", "csv"}
	}
	c.Flags().StringVarP(to, "output", "o", formats[0], "`format`: "+strings.Join(formats, ", "))
	err := c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	cobra.CheckErr(err)
}

func offerFormat(name string) (func(io.Writer, []sparkloop.Offer) error, error) {
	switch name {
	case "table":
		return offerTable, nil
	case "json":
		return writeJSON[[]sparkloop.Offer], nil
	case "csv":
		return offerCSV, nil
	}
	return nil, misused("unknown format %q: --output must be table, json or csv", name)
}

func offerTable(w io.Writer, offers []sparkloop.Offer) error {
	var text strings.Builder
	if len(offers) > 0 {
		t := newTable(&text, "ID", "NAME", "TYPE", "EVENT", "CPA", "STATUS")
		for _, o := range offers {
			t.AppendRow(cells(
				printable(o.UUID, maxID),
				printable(o.Name, maxName),
				printable(string(o.ConversionType), maxWord),
				printable(o.ConversionEvent, maxWord),
				o.CPA.String(),
				printable(o.Status, maxWord),
			))
		}
		t.Render()
		text.WriteString("\n")
	}
	text.WriteString(count(len(offers), "offer") + "\n")
	_, err := io.WriteString(w, text.String())
	return err
}

func offerCSV(w io.Writer, offers []sparkloop.Offer) error {
	out := csv.NewWriter(w)
	out.Write([]string{"id", "name", "type", "event", "cpa", "status", "created_at", "redirect_url"}) //nolint:errcheck // Error has it
	for _, o := range offers {
		out.Write([]string{ //nolint:errcheck // likewise
			o.UUID, o.Name, string(o.ConversionType), o.ConversionEvent,
			strings.Replace(o.CPA.String(), "$", "", 1), o.Status, stamp(o.CreatedAt), o.RedirectURL,
		})
	}
	out.Flush()
	return out.Error()
}

func writeJSON[T any](w io.Writer, v T) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

// stamp returns a time for machines, or "".
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
