package riveroutbox

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// row is the one that all processes on the schema share.
type row struct {
	pool       *pgxpool.Pool
	load, swap string
}

func newRow(pool *pgxpool.Pool, schema string) *row {
	return &row{
		pool: pool,
		load: in(schema, `SELECT state, revision, clock_timestamp() FROM {schema}.sparkloop_outbox`),
		swap: in(schema, `UPDATE {schema}.sparkloop_outbox SET revision = revision + 1, state = $2::text WHERE revision = $1::bigint`),
	}
}

func (r *row) Load(ctx context.Context) (text string, revision int64, now time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementMax)
	defer cancel()
	err = r.pool.QueryRow(ctx, r.load).Scan(&text, &revision, &now)
	return text, revision, now, err
}

func (r *row) Swap(ctx context.Context, revision int64, text string) (bool, error) {
	tag, err := bounded{r.pool}.Exec(ctx, r.swap, revision, text)
	return tag.RowsAffected() == 1, err
}
