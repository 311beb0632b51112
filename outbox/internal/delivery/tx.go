package delivery

import (
	"reflect"

	"github.com/sparkloop-go/sparkloop/outbox"
)

// NoTx reports whether tx is nil or holds a nil pointer. Its use would panic.
func NoTx(tx outbox.Execer) bool {
	v := reflect.ValueOf(tx)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}
