package pgtest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReplica(t *testing.T) {
	t.Parallel()
	primary := New(t)
	psql(t, primary, primary.URL(), "CREATE TABLE held (value text); INSERT INTO held VALUES ('copied')")
	replica := primary.Replica(t)
	assert.Equal(t, "t", psql(t, replica, replica.URL(), "SELECT pg_is_in_recovery()"))
	assert.Equal(t, "copied", psql(t, replica, replica.URL(), "SELECT value FROM held"))
}

func TestBouncer(t *testing.T) {
	t.Parallel()
	c := Shared(t)
	url := c.Database(t)
	through := c.Bouncer(t, url, 1, "default_pool_size = 1")
	require.NotEqual(t, url, through)
	assert.Equal(t, "7", psql(t, c, through, "SELECT 7"))
	_, admin, _ := strings.Cut(through, "@")
	assert.True(t, strings.HasPrefix(admin, "127.0.0.1:"), "on loopback")
}

func TestSetClock(t *testing.T) {
	t.Parallel()
	c := New(t)
	for _, ahead := range []time.Duration{-10 * time.Minute, 46 * 24 * time.Hour} {
		c.SetClock(t, ahead)
		now, err := time.Parse(time.RFC3339, psql(t, c, c.URL(), `SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`))
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now().Add(ahead), now, time.Minute)
	}
}
