package delivery_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/outbox/internal/delivery"
)

func TestASpellIsLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s delivery.Spell
		assert.False(t, s.Works())
		begun, over := 0, 0
		for range 241 { // four minutes and a second, with a failure each second
			if s.Fails() {
				begun++
			}
			if s.Works() {
				over++
			}
			time.Sleep(time.Second)
		}
		assert.Equal(t, 5, begun)
		assert.Equal(t, 5, over, "the end of each logged spell")
		time.Sleep(time.Minute)
		assert.True(t, s.Fails())
		time.Sleep(time.Hour)
		assert.False(t, s.Fails(), "the spell continues")
		assert.True(t, s.Works())
		assert.False(t, s.Works())
	})
}
