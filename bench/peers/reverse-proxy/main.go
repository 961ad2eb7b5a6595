// Go's httputil.ReverseProxy with a static header, the engine of oauth2-proxy and most peers.
// Arguments: listen address, upstream, token, and the CA of an upstream with TLS.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	listen, token := os.Args[1], os.Args[3]
	upstream, err := url.Parse(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.DisableCompression = true
	// The default of 2 would open a connection for most requests.
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 4096
	if len(os.Args) > 4 {
		pem, err := os.ReadFile(os.Args[4])
		if err != nil {
			log.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		// A load that ends mid-answer is no news.
		ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(upstream)
			request.Out.Header.Set("Authorization", "Bearer "+token)
		},
	}
	log.Fatal(http.ListenAndServe(listen, proxy))
}
