package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
)

// work delivers until ctx ends. Any number of processes may do so: they share
// the work, and one rate limit.
func work(ctx context.Context, pool *pgxpool.Pool, client *sparkloop.Client, out io.Writer) error {
	queue, err := riveroutbox.Open(ctx, pool, client, riveroutbox.Options{
		Options: outbox.Options{
			Source: trackings(pool),
			Logger: slog.New(slog.NewTextHandler(out, nil)),
		},
		Schema: outboxSchema,
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "delivering")
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeMax)
	defer cancel()
	return queue.Close(end) // and then the pool
}
