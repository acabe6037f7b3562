# what: a module built, tested and run; the build cache used again
# packages: golang-go
# timeout: 400
# prepare
printf 'module demo\n' >go.mod; printf 'package main\nimport "fmt"\nfunc f(x int) int { return x * 2 }\nfunc main() { fmt.Println(f(21)) }\n' >main.go
printf 'package main\nimport "testing"\nfunc TestF(t *testing.T) { if f(2) != 4 { t.Fatal() } }\n' >main_test.go
# run
export GOCACHE=$PWD/c GOFLAGS=-mod=mod GOPROXY=off CGO_ENABLED=0; go build -o p .; ./p; go test . | cut -f1; go vet . && echo vetted; chmod -R u+w c; rm -rf c p
