package sparklooptest

import "syscall"

// Errors of broken connections.
const (
	errRefused = syscall.ErrorString("connection refused")
	errReset   = syscall.ErrorString("connection reset by peer")
)
