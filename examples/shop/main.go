// Command shop is a small real shop that confirms SparkLoop conversions: it
// keeps a reader's tracking from the redirect to the purchase, weeks later
// perhaps, and has an outbox in its own database confirm it.
//
//	go run ./examples/shop
//
// It prints its address and a link that plays SparkLoop's redirect. SparkLoop
// is a fake one in this process, unless SPARKLOOP_API_KEY is set; then what is
// bought here is confirmed there, and counts.
//
// Where to look:
//
//	shop.go      the pages, and where the tracking comes in
//	store.go     the user's row: the tracking in the signup's transaction
//	orders.go    the order's row: the tracking, and its conversion in the queue,
//	             in the order's transaction
//	payment.go   a payment's callback from another site, without any cookie
//	consent.go   a banner, and a consent that is given late
//
// Flags and variables: go run ./examples/shop -h.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

// run is the whole program. It opens in the order in which things need each
// other, and closes in the other one: handlers, deliveries, database.
func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) (err error) {
	set, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(out, nil))

	api, err := connect(ctx, getenv, logger)
	if err != nil {
		return err
	}
	defer api.close()

	path, remove, err := databasePath(set.db)
	if err != nil {
		return err
	}
	defer remove()
	db, err := openStore(ctx, path, api.client, outbox.Options{Logger: logger})
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, db.close(end))
	}()

	shop, err := newShop(config{
		store: db, logger: logger,
		consent: set.consent, domain: set.domain,
		paymentSecret: getenv("SHOP_PAYMENT_SECRET"),
	})
	if err != nil {
		return err
	}
	listener, err := listen(set.addr)
	if err != nil {
		return err
	}
	home := "http://" + listener.Addr().String() + "/"
	mux := http.NewServeMux()
	mux.Handle("/", shop.handler())
	api.playRedirect(mux, home)

	api.introduce(out, home)
	err = serve(ctx, listener, mux)
	fmt.Fprintln(out, "\nThe shop is closed.")
	return err
}

// settings are the flags.
type settings struct {
	addr, db, domain string
	consent          bool
}

func parse(args []string, out io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("shop", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&s.addr, "addr", "", "`host:port` to listen on (default "+usualAddr+", or any free port if that is taken)")
	flags.StringVar(&s.db, "db", "", "SQLite `file` that stays (default a temporary one)")
	flags.StringVar(&s.domain, "domain", "", "share the tracking cookie with the subdomains of `example.com`")
	flags.BoolVar(&s.consent, "consent", false, "ask for consent before the tracking cookie is set")
	flags.Usage = func() {
		fmt.Fprint(out, "usage: shop [flags]\n")
		flags.PrintDefaults()
		fmt.Fprint(out, "variables:\n"+
			"  SPARKLOOP_API_KEY    confirm at SparkLoop, not at a fake one\n"+
			"  SPARKLOOP_BASE_URL   another address of its API\n"+
			"  SHOP_PAYMENT_SECRET  take the signed callbacks of payment.go\n")
	}
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("what is %q? There are only flags, see -h", flags.Arg(0))
	}
	return s, nil
}
