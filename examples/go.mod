module github.com/sparkloop-go/sparkloop/examples

go 1.26

require (
	github.com/sparkloop-go/sparkloop v0.1.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

replace github.com/sparkloop-go/sparkloop => ../
