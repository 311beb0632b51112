package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparkloop-go/sparkloop/cmd/sparkloop/internal/fake"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

func (a *app) fakeCommand() *cobra.Command {
	var o fake.Options
	var listen string
	var faults string
	c := &cobra.Command{
		Use:   "fake",
		Short: "Serve a SparkLoop to develop and stage against",
		Long: `Serve a SparkLoop API to develop and stage against, in any language. It confirms
each conversion once, keeps the rate limit and answers with the documented texts.

Its page shows the offers with their click links and the state of each submission.
You can also turn on faults there. /state.json has the same data for programs.
Submission IDs never repeat, even after a restart. --state stores offers and
submissions.

Nothing reaches SparkLoop, and SPARKLOOP_API_KEY is not read.

Faults: ` + strings.Join(fake.FaultNames(), ", ") + `.
Append ":3" to limit a fault to three requests.`,
		Example: `  sparkloop fake --state fake.json --landing http://localhost:3000/signup
  sparkloop fake --fault lost-answer:1
  curl -si http://127.0.0.1:8789/click/offer_1234abcd | grep -i location`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.fake(cmd.Context(), listen, faults, o)
		},
	}
	flags := c.Flags()
	flags.StringVar(&listen, "listen", "127.0.0.1:8789", "`address` to listen on; port 0 is a free one")
	flags.StringVar(&o.State, "state", "", "`file` that stores offers and submissions")
	flags.StringVar(&o.Key, "key", "", "the API `key` that is accepted (default \""+sparklooptest.APIKey+"\")")
	flags.IntVar(&o.Limit, "limit", 120, "accepted requests in any minute; 0 turns the limit off")
	flags.StringVar(&o.Landing, "landing", "", "`URL` of the landing page of all click links")
	flags.StringVar(&faults, "fault", "", "`fault` to turn on at the start")
	cobra.CheckErr(c.RegisterFlagCompletionFunc("fault", cobra.FixedCompletions(fake.FaultNames(), cobra.ShellCompDirectiveNoFileComp)))
	return c
}

func (a *app) fake(ctx context.Context, listen, fault string, o fake.Options) error {
	if o.Limit < 0 {
		return misused("--limit must be 0 or more")
	}
	unlock, err := lockAll("", o.State)
	if err != nil {
		return misused("--state: %w", err)
	}
	defer unlock()
	f, err := fake.New(o)
	if err != nil {
		return &failure{exitUsage, err}
	}
	defer f.Close()
	if fault != "" {
		if err := f.Fail(fault); err != nil {
			return misused("--fault: %w", err)
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return failed(err)
	}
	address := "http://" + reachable(listener.Addr())
	fmt.Fprintf(a.out, "A fake SparkLoop. Open its page:  %s/\n\n  SPARKLOOP_BASE_URL=%s/api/v2\n", address, address)
	if o.Key == "" {
		fmt.Fprintf(a.out, "  SPARKLOOP_API_KEY=%s\n", sparklooptest.APIKey)
	} else {
		fmt.Fprintln(a.out, "  SPARKLOOP_API_KEY: the value of --key")
	}
	fmt.Fprintf(a.out, "\nTo click on an offer, open  %s/click/%s\nEnd with Ctrl-C.\n", address, sparklooptest.DefaultOffer)
	server := &http.Server{Handler: f, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)} // faults break connections on purpose
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return failed(err)
	}
	return nil
}

// reachable returns an address that programs on this machine can call.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if name, err := os.Hostname(); err == nil && !strings.Contains(name, ".") {
			host = name // plain http is accepted for names without dots
		}
	}
	return net.JoinHostPort(host, port)
}
