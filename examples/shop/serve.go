package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// usualAddr is a fixed one, so that a page left open finds the shop again.
const usualAddr = "127.0.0.1:8080"

// listen falls back to a free port, but only if none was asked for.
func listen(addr string) (net.Listener, error) {
	if addr != "" {
		return net.Listen("tcp", addr)
	}
	if l, err := net.Listen("tcp", usualAddr); err == nil {
		return l, nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// databasePath is the file that was asked for, or one that remove deletes.
func databasePath(asked string) (path string, remove func(), err error) {
	if asked != "" {
		return asked, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "shop-*")
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(dir, "shop.db"), func() { os.RemoveAll(dir) }, nil
}

// serve runs the shop until ctx ends. It returns when the last handler has, so
// that the queue and the database can be closed.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(end); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
}
