package browser

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Site serves the hosts of a test, https on one port of loopback. The browser
// resolves *.example.test, *.example.org and *.example.net to it: each of
// these three is a site.
type Site struct{ port string }

// Serve starts h, which sees the host in r.Host.
func Serve(t *testing.T, h http.Handler) *Site {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	cert, _ := certificate()
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a closing browser breaks handshakes
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	return &Site{port}
}

// URL is the address of a path on a host.
func (s *Site) URL(host, path string) string { return "https://" + host + ":" + s.port + path }

// Host is a request's host without the port.
func Host(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.Host)
	return host
}

// certificate creates one for the process. The browser of the tests trusts it by the
// pin of its key.
var certificate = sync.OnceValues(func() (cert tls.Certificate, pin string) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"*.example.test", "*.shop.example.test", "*.example.org", "*.example.net", "*.github.io"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(err)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	must(err)
	sum := sha256.Sum256(public)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, base64.StdEncoding.EncodeToString(sum[:])
})
