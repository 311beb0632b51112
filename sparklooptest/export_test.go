package sparklooptest

// What a broken connection fails with, on the system at hand.
const (
	ErrRefused = errRefused
	ErrReset   = errReset
)
