package sparklooptest

// Errors of broken connections on this operating system.
const (
	ErrRefused = errRefused
	ErrReset   = errReset
)
