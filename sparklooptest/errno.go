//go:build !plan9

package sparklooptest

import "syscall"

// Errors of broken connections.
const (
	errRefused = syscall.ECONNREFUSED
	errReset   = syscall.ECONNRESET
)
