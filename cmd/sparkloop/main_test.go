package main

import (
	"os"
	"testing"
)

// TestMain lets tests start the program: this binary, with a variable set.
func TestMain(m *testing.M) {
	if os.Getenv("SPARKLOOP_TEST_IS_THE_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}
