package main

import (
	"net"
	"os"
	"path/filepath"
)

// usualAddr is fixed, so that an open page finds the shop after a restart.
const usualAddr = "127.0.0.1:8080"

// listen uses usualAddr, or any free port if that is taken. An address of the
// flag is used as it is.
func listen(addr string) (net.Listener, error) {
	if addr != "" {
		return net.Listen("tcp", addr)
	}
	if l, err := net.Listen("tcp", usualAddr); err == nil {
		return l, nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// databasePath returns the file of the flag, or a temporary one that remove
// deletes.
func databasePath(flag string) (path string, remove func(), err error) {
	if flag != "" {
		return flag, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "shop-*")
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(dir, "shop.db"), func() { os.RemoveAll(dir) }, nil
}
