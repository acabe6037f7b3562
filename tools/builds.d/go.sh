# what: programs by go build, with debug information
# packages: golang-go
export GOCACHE="$HOME/cache" GOPATH="$HOME/go" GOFLAGS=-p=1 GOPROXY=off
mkdir stage
go build -o stage ./cmd/...
