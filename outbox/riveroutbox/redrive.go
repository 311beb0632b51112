package riveroutbox

import (
	"context"
	"fmt"
	"time"

	"github.com/sparkloop-go/sparkloop/outbox"
)

const (
	// redriven in a job's metadata is when it was last redriven, in seconds since
	// 1970. The job has waited since then.
	redriven = "sparkloop_redriven"

	redriveMax = 5000 // rows in one transaction
)

const redrive = `
	UPDATE {schema}.river_job AS j
	SET state = 'scheduled', scheduled_at = {now}, finalized_at = NULL, attempt = 0, errors = NULL,
		metadata = metadata - 'output' - 'cancel_attempted_at' || jsonb_build_object('` + redriven + `', floor(extract(epoch FROM {now})))`

// Redrive implements [outbox.Queue].
func (o *Outbox) Redrive(ctx context.Context, ids ...int64) (int, error) {
	n := 0
	for len(ids) > 0 {
		some := ids[:min(len(ids), redriveMax)]
		ids = ids[len(some):]
		tag, err := o.db.called(ctx).Exec(ctx, o.statement(redrive+`
			WHERE queue = '`+queue+`' AND`+failed+`AND id = ANY ($2::bigint[])`), o.now(), some)
		if err != nil {
			return n, fmt.Errorf("sparkloop outbox: redrive: %w", err)
		}
		n += int(tag.RowsAffected())
	}
	return n, nil
}

// RedriveAll implements [outbox.Queue]. It uses one transaction per 5,000
// conversions. After an error, the returned number of conversions is redriven.
func (o *Outbox) RedriveAll(ctx context.Context, s outbox.State) (int, error) {
	if s != outbox.Dead && s != outbox.Expired {
		return 0, fmt.Errorf("sparkloop outbox: redrive: %s conversions cannot be redriven, only dead and expired ones", s)
	}
	condition, err := where(s)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, state := range []string{"cancelled", "discarded"} {
		more, err := o.redriveState(ctx, state, condition)
		if n += more; err != nil {
			return n, fmt.Errorf("sparkloop outbox: redrive: %w", err)
		}
	}
	return n, nil
}

// redriveState redrives the jobs in one of River's states, by its index.
func (o *Outbox) redriveState(ctx context.Context, state, condition string) (n int, err error) {
	for last := new(time.Time{}); ; {
		var some int
		err := o.db.called(ctx).scan(ctx, []any{&some, &last}, o.statement(`
			WITH batch AS (
				SELECT id, finalized_at FROM {schema}.river_job
				WHERE state = '`+state+`' AND queue = '`+queue+`' AND finalized_at >= $2::timestamptz AND`+condition+`
				ORDER BY finalized_at LIMIT $3::bigint FOR UPDATE
			), changed AS (`+redrive+` FROM batch WHERE j.id = batch.id)
			SELECT count(*), max(finalized_at) FROM batch`), o.now(), last, redriveMax)
		if n += some; err != nil || some < redriveMax {
			return n, err
		}
	}
}
