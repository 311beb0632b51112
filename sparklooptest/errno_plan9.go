package sparklooptest

import "syscall"

// What a broken connection fails with.
const (
	errRefused = syscall.ErrorString("connection refused")
	errReset   = syscall.ErrorString("connection reset by peer")
)
