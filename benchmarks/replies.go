package main

import (
	"bytes"
	"fmt"
	"strings"
)

const (
	listed       = 200 // objects in a list
	offerID      = "offer_1234abcd"
	submissionID = "submission_1234abcd"

	// prose makes the lists' objects about as long in every API.
	prose = "Drafts the weekly newsletter from your notes, finds what last month's readers opened and leaves the rest out. "
)

// replies are the answers by path, as the APIs send them. The objects in lists
// are about as long as an offer.
func replies() map[string][]byte {
	return map[string][]byte{
		"/api/v2/offers/" + offerID + "/submissions/" + submissionID + "/conversion": []byte(`{"message":"Conversion confirmed"}`),
		"/api/v2/offers": list(`{"offers":[`, offerJSON, `],"meta":{"per_page":200,"page":1,"total_pages":1,"total_offers":200}}`),

		"/v1/payment_intents/pi_1234abcd/cancel": []byte(`{"id":"pi_1234abcd"}`),
		"/v1/products":                           list(`{"object":"list","url":"/v1/products","has_more":false,"data":[`, productJSON, `]}`),

		"/hcloud/servers/1/actions/poweron": []byte(`{"action":{"id":1,"command":"start_server","status":"running","progress":0,` +
			`"started":"2026-03-02T09:15:27+00:00","finished":null,"resources":[{"id":1,"type":"server"}],"error":null}}`),
		"/hcloud/images": list(`{"images":[`, imageJSON, `],"meta":{"pagination":{"page":1,"per_page":200,"previous_page":null,"next_page":null,"last_page":1,"total_entries":200}}}`),

		"/github/repos/acme/shop/actions/runners/registration-token": []byte(`{"token":"1234abcd","expires_at":"2026-03-02T09:15:27Z"}`),
		"/github/repos/acme/shop/milestones":                         list(`[`, milestoneJSON, `]`),

		"/openai/batches/batch_1234abcd/cancel": []byte(`{"id":"batch_1234abcd"}`),
		"/openai/batches":                       list(`{"object":"list","has_more":false,"data":[`, batchJSON, `]}`),

		"/anthropic/v1/messages/batches/msgbatch_1234abcd/cancel": []byte(`{"id":"msgbatch_1234abcd"}`),
		"/anthropic/v1/messages/batches":                          list(`{"has_more":false,"first_id":"msgbatch_0","last_id":"msgbatch_199","data":[`, messageBatchJSON, `]}`),
	}
}

// Objects of the lists: %d is the object's number, %s the prose.
const (
	offerJSON = `{"uuid":"offer_4bc105%05d","name":"Acme trial, spring","headline":"Write faster","description":"%s",` +
		`"callout":"14 days free","redirect_url":"https://acme.example/landing","conversion_type":"Action","visibility":"public","status":"active",` +
		`"created_at":"2026-03-02T09:15:27.412Z","landscape_image_url":"https://img.example/wide.png","portrait_image_url":"https://img.example/tall.png",` +
		`"geo_restrictions":{"allow_worldwide_referrals":false,"allowed_countries":["US","CA"],"blocked_countries":[]},` +
		`"monthly_budget":5000,"cpa":2.35,"conversion_event":"purchase","terms":"Newsletters in English only."}`

	productJSON = `{"id":"prod_4bc105%05d","object":"product","active":true,"created":1772442927,"default_price":"price_4bc10562d97","description":"%s",` +
		`"images":["https://img.example/wide.png"],"livemode":true,"marketing_features":[],"metadata":{"team":"growth","season":"spring"},"name":"Acme trial, spring",` +
		`"package_dimensions":null,"shippable":false,"statement_descriptor":"ACME TRIAL","tax_code":"txcd_10000000","type":"service","unit_label":"seat",` +
		`"updated":1772442928,"url":"https://acme.example/landing"}`

	imageJSON = `{"id":%d,"type":"snapshot","status":"available","name":"acme-spring","description":"%s",` +
		`"image_size":2.3,"disk_size":10,"created":"2026-03-02T09:15:27+00:00","created_from":{"id":1,"name":"Server"},"bound_to":null,"os_flavor":"ubuntu",` +
		`"os_version":"24.04","rapid_deploy":false,"protection":{"delete":false},"deprecated":null,"deprecation":null,"deleted":null,"architecture":"x86",` +
		`"labels":{"team":"growth","season":"spring","campaign":"trial"}}`

	milestoneJSON = `{"url":"https://github.example/repos/acme/shop/milestones/1","html_url":"https://github.example/acme/shop/milestones/v1.0",` +
		`"labels_url":"https://github.example/repos/acme/shop/milestones/1/labels","id":%d,"node_id":"MDk6TWlsZXN0b25lMTAwMjYwNA==","number":1,"state":"open",` +
		`"title":"Acme trial, spring","description":"%s","open_issues":4,"closed_issues":8,"created_at":"2026-03-02T09:15:27Z","updated_at":"2026-03-03T09:15:27Z",` +
		`"closed_at":"2026-03-04T09:15:27Z","due_on":"2026-03-05T09:15:27Z"}`

	batchJSON = `{"id":"batch_4bc105%05d","object":"batch","endpoint":"/v1/responses","errors":null,"input_file_id":"file-4bc10562d97","completion_window":"24h",` +
		`"status":"completed","output_file_id":"file-4bc10562d98","error_file_id":"file-4bc10562d99","created_at":1772442927,"in_progress_at":1772442928,` +
		`"expires_at":1772529327,"finalizing_at":1772442930,"completed_at":1772442931,"failed_at":null,"expired_at":null,"cancelling_at":null,"cancelled_at":null,` +
		`"request_counts":{"total":100,"completed":95,"failed":5},"metadata":{"description":"%s"}}`

	messageBatchJSON = `{"id":"msgbatch_4bc105%05d","type":"message_batch","processing_status":"ended",` +
		`"request_counts":{"processing":0,"succeeded":95,"errored":3,"canceled":1,"expired":1},"ended_at":"2026-03-02T09:16:27.412Z",` +
		`"created_at":"2026-03-02T09:15:27.412Z","expires_at":"2026-03-03T09:15:27.412Z","archived_at":null,"cancel_initiated_at":null,` +
		`"results_url":"https://results.example/%s"}`
)

// list returns a list. The prose is cut so that each object has objectSize
// bytes.
func list(before, object, after string) []byte {
	const objectSize = 800
	filler := strings.Repeat(prose, objectSize/len(prose)+1)
	filler = filler[:objectSize-len(fmt.Sprintf(object, listed, ""))]
	var b bytes.Buffer
	b.WriteString(before)
	for i := range listed {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, object, i, filler)
	}
	b.WriteString(after)
	return b.Bytes()
}
