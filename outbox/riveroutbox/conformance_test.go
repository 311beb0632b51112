package riveroutbox_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/internal/pgtest"
	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/outbox/internal/outboxtest/conformance"
	"github.com/sparkloop-go/sparkloop/outbox/riveroutbox"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database(t)
	var schemas atomic.Int64 // in one database: creating a database takes longer than most stories
	conformance.Run(t, func(t *testing.T) conformance.Database {
		t.Helper()
		d := &database{t: t, url: url, schema: fmt.Sprintf("story_%d", schemas.Add(1))}
		d.shop = d.pool(&network{})
		_, err := d.shop.Exec(t.Context(), "CREATE TABLE "+d.schema+"_orders (submission text)")
		require.NoError(t, err)
		return d
	})
}

// database is a schema of the outbox, and a table of the application's orders.
type database struct {
	t           *testing.T
	url, schema string
	shop        *pgxpool.Pool
}

// process is a queue with its own pool.
type process struct {
	*riveroutbox.Outbox
	pool    *pgxpool.Pool
	network *network
}

func (d *database) pool(n *network) *pgxpool.Pool {
	config, err := pgxpool.ParseConfig(d.url)
	require.NoError(d.t, err)
	config.MaxConns = 6
	config.ConnConfig.DialFunc = n.dial
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(d.t, err)
	d.t.Cleanup(pool.Close)
	return pool
}

func (d *database) Open(ctx context.Context, c *sparkloop.Client, o outbox.Options) (conformance.Queue, error) {
	p := &process{network: &network{}}
	p.pool = d.pool(p.network)
	var err error
	p.Outbox, err = riveroutbox.Open(ctx, p.pool, c, riveroutbox.Options{Options: o, Schema: d.schema})
	return p, err
}

func (d *database) EnqueueTx(ctx context.Context, q conformance.Queue, t sparkloop.Tracking, commit bool) error {
	p := q.(*process)
	tx, err := p.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // after a commit there is nothing to roll back
	if _, err := tx.Exec(ctx, "INSERT INTO "+d.schema+"_orders VALUES ($1)", t.Submission); err != nil {
		return err
	}
	err = p.EnqueueTx(ctx, tx, t)
	if commit {
		err = errors.Join(err, tx.Commit(ctx))
	}
	return err
}

func (d *database) Orders(ctx context.Context) (n int, err error) {
	return n, d.shop.QueryRow(ctx, "SELECT count(*) FROM "+d.schema+"_orders").Scan(&n)
}

func (d *database) Replace(ctx context.Context, t, by sparkloop.Tracking) error {
	_, err := d.shop.Exec(ctx, `UPDATE `+d.schema+`.river_job SET args = jsonb_set(args, '{submission}', to_jsonb($2::text)), unique_key = convert_to($3, 'UTF8')
		WHERE unique_key = convert_to($1, 'UTF8')`, t.Key(), by.Submission, by.Key())
	return err
}

func (d *database) Cut(q conformance.Queue)  { q.(*process).network.set(true) }
func (d *database) Mend(q conformance.Queue) { q.(*process).network.set(false) }

func (d *database) Faults() []conformance.Fault {
	refuse := func(name, code string) conformance.Fault {
		exec := func(sql string) func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := d.shop.Exec(ctx, strings.ReplaceAll(sql, "{schema}", d.schema))
				return err
			}
		}
		return conformance.Fault{
			Name: name,
			Begin: exec(`DO $do$ BEGIN
				CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS
					$$ BEGIN RAISE EXCEPTION '` + name + `' USING ERRCODE = '` + code + `'; END $$;
				CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON {schema}.river_job EXECUTE FUNCTION {schema}.refuse();
				CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON {schema}.sparkloop_outbox EXECUTE FUNCTION {schema}.refuse();
			END $do$`),
			End: exec(`DROP FUNCTION {schema}.refuse CASCADE`),
		}
	}
	return []conformance.Fault{refuse("read-only", "25006"), refuse("disk full", "53100")}
}

// network is the network between a process and the database.
type network struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut {
		conn.Close()
		return nil, errors.New("the network is down")
	}
	n.conns = append(n.conns, conn)
	return conn, nil
}

func (n *network) set(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
	if cut {
		for _, conn := range n.conns {
			conn.Close()
		}
		n.conns = nil
	}
}
