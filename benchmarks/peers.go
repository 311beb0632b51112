package main

import (
	"context"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/google/go-github/v89/github"
	"github.com/hetznercloud/hcloud-go/v2/hcloud"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	"github.com/stripe/stripe-go/v85"
)

func newStripe(s setup) (calls, error) {
	config := &stripe.BackendConfig{
		URL:           stripe.String(s.base),
		HTTPClient:    s.client,
		LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
	}
	if s.noRetries {
		config.MaxNetworkRetries = stripe.Int64(0)
	}
	c := stripe.NewClient(apiKey, stripe.WithBackends(stripe.NewBackendsWithConfig(config)))
	return calls{
		post: func(ctx context.Context) error {
			intent, err := c.V1PaymentIntents.Cancel(ctx, "pi_1234abcd", nil)
			if err != nil {
				return err
			}
			return named(intent.ID, nil)
		},
		list: func(ctx context.Context) error {
			params := &stripe.ProductListParams{}
			params.Limit = stripe.Int64(listed)
			n := 0
			for _, err := range c.V1Products.List(ctx, params).All(ctx) {
				if err != nil {
					return err
				}
				n++
			}
			return whole(n, nil)
		},
	}, nil
}

func newHCloud(s setup) (calls, error) {
	opts := []hcloud.ClientOption{hcloud.WithEndpoint(s.base + "/hcloud"), hcloud.WithToken(apiKey)}
	if s.client != nil {
		opts = append(opts, hcloud.WithHTTPClient(s.client))
	}
	if s.noRetries {
		opts = append(opts, hcloud.WithRetryOpts(hcloud.RetryOpts{MaxRetries: 0}))
	}
	c := hcloud.NewClient(opts...)
	server := &hcloud.Server{ID: 1}
	return calls{
		post: func(ctx context.Context) error {
			action, _, err := c.Server.Poweron(ctx, server)
			if err != nil {
				return err
			}
			return named(action.Command, nil)
		},
		list: func(ctx context.Context) error {
			images, _, err := c.Image.List(ctx, hcloud.ImageListOpts{ListOpts: hcloud.ListOpts{Page: 1, PerPage: listed}})
			return whole(len(images), err)
		},
	}, nil
}

func newGitHub(s setup) (calls, error) {
	base := s.base + "/github/"
	opts := []github.ClientOptionsFunc{github.WithURLs(&base, nil), github.WithAuthToken(apiKey)}
	if s.client != nil {
		opts = append(opts, github.WithHTTPClient(s.client))
	}
	c, err := github.NewClient(opts...)
	if err != nil {
		return calls{}, err
	}
	return calls{
		post: func(ctx context.Context) error {
			token, _, err := c.Actions.CreateRegistrationToken(ctx, "acme", "shop")
			return named(token.GetToken(), err)
		},
		list: func(ctx context.Context) error {
			milestones, _, err := c.Issues.ListMilestones(ctx, "acme", "shop",
				&github.MilestoneListOptions{ListOptions: github.ListOptions{Page: 1, PerPage: listed}})
			return whole(len(milestones), err)
		},
	}, nil
}

func newOpenAI(s setup) (calls, error) {
	opts := []openaioption.RequestOption{openaioption.WithBaseURL(s.base + "/openai/"), openaioption.WithAPIKey(apiKey)}
	if s.client != nil {
		opts = append(opts, openaioption.WithHTTPClient(s.client))
	}
	if s.noRetries {
		opts = append(opts, openaioption.WithMaxRetries(0))
	}
	c := openai.NewClient(opts...)
	return calls{
		post: func(ctx context.Context) error {
			batch, err := c.Batches.Cancel(ctx, "batch_1234abcd")
			if err != nil {
				return err
			}
			return named(batch.ID, nil)
		},
		list: func(ctx context.Context) error {
			page, err := c.Batches.List(ctx, openai.BatchListParams{Limit: openai.Int(listed)})
			if err != nil {
				return err
			}
			return whole(len(page.Data), nil)
		},
	}, nil
}

func newAnthropic(s setup) (calls, error) {
	opts := []anthropicoption.RequestOption{anthropicoption.WithBaseURL(s.base + "/anthropic/"), anthropicoption.WithAPIKey(apiKey)}
	if s.client != nil {
		opts = append(opts, anthropicoption.WithHTTPClient(s.client))
	}
	if s.noRetries {
		opts = append(opts, anthropicoption.WithMaxRetries(0))
	}
	c := anthropic.NewClient(opts...)
	return calls{
		post: func(ctx context.Context) error {
			batch, err := c.Messages.Batches.Cancel(ctx, "msgbatch_1234abcd", anthropic.MessageBatchCancelParams{})
			if err != nil {
				return err
			}
			return named(batch.ID, nil)
		},
		list: func(ctx context.Context) error {
			page, err := c.Messages.Batches.List(ctx, anthropic.MessageBatchListParams{Limit: anthropic.Int(listed)})
			if err != nil {
				return err
			}
			return whole(len(page.Data), nil)
		},
	}, nil
}
