// Command shop is a small real shop that confirms SparkLoop conversions. It stores
// a reader's tracking from the landing to the purchase, which may be weeks later,
// and its outbox in the same database confirms the conversion.
//
// Copy from these files:
//
//	shop.go      the pages, and where the tracking is read
//	store.go     the user's row: the tracking, stored at signup
//	orders.go    the order's row and its conversion, in one transaction
//	payment.go   a payment's callback from another site, without any cookie
//	consent.go   a consent banner, and a consent that is given late
//
// The shop prints its address and a link that plays SparkLoop's redirect:
//
//	go run ./examples/shop
//
// SparkLoop is a fake in this process. With SPARKLOOP_API_KEY set, purchases are
// confirmed at SparkLoop itself, and count. For flags and variables:
// go run ./examples/shop -h
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/sparkloop-go/sparkloop/examples/internal/story"
	"github.com/sparkloop-go/sparkloop/outbox"
)

func main() {
	story.Main("shop", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Getenv, os.Stdout) })
}

// run opens in the order in which things need each other, and closes in the
// reverse order: handlers, deliveries, database.
func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) (err error) {
	flags := story.Flags(out, "shop", "[flags]", ""+
		"  SPARKLOOP_API_KEY    confirm at SparkLoop, not at the fake\n"+
		"  SPARKLOOP_BASE_URL   another address of SparkLoop's API\n"+
		"  SHOP_PAYMENT_SECRET  accept the signed callbacks of payment.go\n")
	addr := flags.String("addr", "", "`host:port` to listen on (default "+usualAddr+", or any free port if that is taken)")
	file := flags.String("db", "", "SQLite `file` that stays (default a temporary one)")
	domain := flags.String("domain", "", "share the tracking cookie with the subdomains of `example.com`")
	consent := flags.Bool("consent", false, "ask for consent before the tracking cookie is set")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q: there are only flags, see -h", flags.Arg(0))
	}
	logger := slog.New(slog.NewTextHandler(out, nil))

	api, err := connect(ctx, getenv, logger)
	if err != nil {
		return err
	}
	defer api.close()

	path, remove, err := databasePath(*file)
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
		consent: *consent, domain: *domain,
		paymentSecret: getenv("SHOP_PAYMENT_SECRET"),
	})
	if err != nil {
		return err
	}
	listener, err := listen(*addr)
	if err != nil {
		return err
	}
	home := "http://" + listener.Addr().String() + "/"
	mux := http.NewServeMux()
	mux.Handle("/", shop.handler())
	api.playRedirect(mux, home)

	api.introduce(out, home)
	err = story.Serve(ctx, listener, mux)
	fmt.Fprintln(out, "\nThe shop is closed.")
	return err
}
