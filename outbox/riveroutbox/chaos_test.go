package riveroutbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/outboxtest/chaos"
)

// engine is the PostgreSQL engine of the chaos stories.
var engine = chaos.Engine{
	Name:      "PostgreSQL",
	Processes: 2,
	Open:      openPooled,
	OwnClock:  true,
	Trouble:   chaos.Trouble{Name: "PostgreSQL crashed", Fresh: crashing, Refuses: true},
}

func TestChaos(t *testing.T) {
	t.Parallel()
	cluster := pgtest.New(t) // many processes need many connections
	e := engine
	e.Fresh = func(t *testing.T) string {
		t.Helper()
		return cluster.Database(t)
	}
	chaos.Run(t, e)
}

// pooled is an outbox with its own pool.
type pooled struct {
	*Outbox
	pool *pgxpool.Pool
}

func openPooled(ctx context.Context, url string, c *sparkloop.Client, o outbox.Options) (outbox.Queue, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	box, err := Open(ctx, pool, c, Options{Options: o})
	if err != nil {
		pool.Close()
		return nil, err
	}
	return pooled{box, pool}, nil
}

func (p pooled) Close(ctx context.Context) error {
	err := p.Outbox.Close(ctx)
	p.pool.Close()
	return err
}

// crashing returns a database in its own cluster, and a function that crashes and
// restarts the cluster.
func crashing(t *testing.T) (url string, strike func(context.Context) error) {
	t.Helper()
	cluster := pgtest.New(t)
	url, err := cluster.CreateDatabase(t.Context())
	require.NoError(t, err)
	return url, func(ctx context.Context) error {
		err := cluster.Crash(ctx)
		<-time.After(300 * time.Millisecond)
		return errors.Join(err, cluster.StartAgain(ctx))
	}
}
