package conformance

import (
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/outbox"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// accounts is about processes with different keys on one database.
func accounts() []story {
	return []story{
		{"TwoAccountsAreNamed", twoAccounts},
		{"TwoKeysOfOneAccountDeliver", twoKeys},
	}
}

const (
	saysOtherKey     = "this process has another API key than the queue had so far"
	saysOtherAccount = "; another API key was in use on this queue in the last 7 days: if it is of another account, give each account a database"
)

func twoAccounts(w *world) {
	first := w.open(outbox.Options{})
	unknown := w.unknown()
	first.settle()
	first.enqueue(unknown)
	assert.NotContains(w.t, first.become(unknown, outbox.Dead).Reason, "key", "there is one account")
	assert.Zero(w.t, first.log.warnings(saysOtherKey))
	lost := w.click()
	first.close()

	w.wire = &wire{script: make(map[string]said)} // for the other account
	w.serve(sparklooptest.WithAPIKey("key-of-another-account"))
	second := w.open(outbox.Options{})
	assert.Equal(w.t, 1, second.log.warnings(saysOtherKey))
	second.enqueue(lost)
	e := second.become(lost, outbox.Dead)
	assert.Contains(w.t, e.Reason, "not found"+saysOtherAccount)
	w.until("it is logged", func() bool { return second.log.warnings("a conversion is dead", saysOtherAccount) == 1 })
	n, err := second.RedriveAll(w.ctx(), outbox.Dead)
	assert.NoError(w.t, err)
	assert.Equal(w.t, 2, n)
	assert.Contains(w.t, second.become(lost, outbox.Dead).Reason, saysOtherAccount)
	second.settle()
	w.pass(8 * day)
	again := w.unknown()
	second.enqueue(again)
	assert.NotContains(w.t, second.become(again, outbox.Dead).Reason, saysOtherAccount, "the first one is gone")
	second.close()
	third := w.open(outbox.Options{})
	third.settle()
	assert.Zero(w.t, third.log.warnings(saysOtherKey), "it had a success")
}

// twoKeys has a new key of the same account, while the old key still works.
func twoKeys(w *world) {
	old := w.open(outbox.Options{})
	old.settle()
	const key = "new-key-of-the-account"
	w.serve(sparklooptest.WithAPIKey(key))
	old.line.set(func(l *line) { l.key = key }) // the account has two keys; the server accepts one
	fresh := w.open(outbox.Options{})
	assert.Equal(w.t, 1, fresh.log.warnings(saysOtherKey))
	assert.Equal(w.t, 1, fresh.log.warnings(), "no other warning")
	for n := range 5 {
		fresh.enqueue(w.clicks(5)...)
		fresh.delivered(1 + 5*(n+1))
		w.pass(2 * time.Hour)
	}
	old.close()
	next := w.open(outbox.Options{})
	next.settle()
	assert.Zero(w.t, next.log.warnings())
	assert.Equal(w.t, 1, fresh.log.warnings())
}
