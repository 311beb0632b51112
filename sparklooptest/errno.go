//go:build !plan9

package sparklooptest

import "syscall"

// What a broken connection fails with.
const (
	errRefused = syscall.ECONNREFUSED
	errReset   = syscall.ECONNRESET
)
