package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sparkloop-go/sparkloop/outbox"
)

func (a *app) redriveCommand(p *place) *cobra.Command {
	var all string
	redrivable := []string{string(outbox.Dead), string(outbox.Expired)}
	c := &cobra.Command{
		Use:   "redrive ID... | --all STATE",
		Short: "Make dead or expired conversions pending again",
		Long: `Make dead or expired conversions pending again: by their IDs in the queue, or all of
one state. The program that delivers takes them within about a second. Conversions in
other states are not changed, so it is safe to repeat.`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case all == "" && len(args) == 0:
				return fmt.Errorf("%s: give IDs, or --all dead, or --all expired", cmd.CommandPath())
			case all != "" && len(args) > 0:
				return fmt.Errorf("%s: give IDs or --all, not both", cmd.CommandPath())
			case all != "" && !slices.Contains(redrivable, all):
				return fmt.Errorf("%s: --all must be dead or expired, not %q", cmd.CommandPath(), all)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ids := make([]int64, len(args))
			for i, arg := range args {
				var err error
				if ids[i], err = strconv.ParseInt(arg, 10, 64); err != nil {
					return misused("%q is not a number: give the conversions' IDs in the queue", arg)
				}
			}
			return a.with(cmd, p, true, func(ctx context.Context, q outbox.Queue) error {
				var n int
				var err error
				if all != "" {
					n, err = q.RedriveAll(ctx, outbox.State(all))
				} else {
					n, err = q.Redrive(ctx, ids...)
				}
				if n > 0 || err == nil {
					fmt.Fprintf(a.out, "%s set to pending\n", count(n, "conversion"))
				}
				if err != nil {
					return failed(err)
				}
				if n < len(ids) {
					return failed(fmt.Errorf("%s not redriven: neither dead nor expired, or not in the queue", count(len(ids)-n, "conversion")))
				}
				return nil
			})
		},
	}
	c.Flags().StringVar(&all, "all", "", "all of a `state`: dead or expired")
	cobra.CheckErr(c.RegisterFlagCompletionFunc("all", cobra.FixedCompletions(redrivable, cobra.ShellCompDirectiveNoFileComp)))
	return c
}
