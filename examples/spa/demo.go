package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"

	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// demo plays the two other sites: SparkLoop's redirect and the payment site. In
// the browser tests each has a host of its own.
type demo struct {
	fake   *sparklooptest.Server
	page   string       // the origin of the page
	api    string       // the origin of the API
	secret string       // shared with the API
	http   *http.Client // sends the webhook
}

// click is the link in a newsletter.
func (d *demo) click(w http.ResponseWriter, r *http.Request) {
	redirect, _ := d.fake.Click(r.FormValue("offer"), d.page+"/?utm_source=newsletter")
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, redirect, http.StatusFound)
}

var payPage = template.Must(template.New("pay").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>Payment</title>
<body style="font: 1.0625rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 4rem auto; padding: 0 1rem">
<main><h1>The payment site</h1><p>Another site, which tells the API by a webhook. Nothing is charged.</p>
<form method="post"><input type="hidden" name="order" value="{{.}}"><button id="pay" style="font: inherit; padding: .6rem 1.2rem">Pay $48.00</button></form>
</main></body></html>`))

func (d *demo) payForm(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	payPage.Execute(w, r.FormValue("order")) //nolint:errcheck // the buyer has left
}

// pay sends the webhook from this server, then the buyer back to the page.
func (d *demo) pay(w http.ResponseWriter, r *http.Request) {
	order := r.PostFormValue("order")
	if err := d.webhook(r, order); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	http.Redirect(w, r, d.page+"/thanks?order="+url.QueryEscape(order), http.StatusSeeOther)
}

func (d *demo) webhook(r *http.Request, order string) error {
	body, err := json.Marshal(map[string]string{"order": order})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, d.api+"/payments", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Signature", hex.EncodeToString(sign(d.secret, body)))
	resp, err := d.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("the webhook was answered with %s", resp.Status)
	}
	return nil
}
