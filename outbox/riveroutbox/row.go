package riveroutbox

import (
	"context"
	"time"
)

// row implements [delivery.SharedState].
type row struct {
	db         db
	load, swap string
}

func newRow(d db, schema string) *row {
	return &row{
		db:   d,
		load: in(schema, `SELECT state, revision, clock_timestamp() FROM {schema}.sparkloop_outbox`),
		swap: in(schema, `UPDATE {schema}.sparkloop_outbox SET revision = revision + 1, state = $2::text WHERE revision = $1::bigint`),
	}
}

func (r *row) Load(ctx context.Context) (text string, revision int64, now time.Time, err error) {
	err = r.db.scan(ctx, []any{&text, &revision, &now}, r.load)
	return text, revision, now, err
}

func (r *row) Swap(ctx context.Context, revision int64, text string) (bool, error) {
	tag, err := r.db.Exec(ctx, r.swap, revision, text)
	return tag.RowsAffected() == 1, err
}
