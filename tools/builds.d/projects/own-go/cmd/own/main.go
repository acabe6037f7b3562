// Own says a word.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	_, file, _, _ := runtime.Caller(0)
	fmt.Println(os.Args[1:], file)
}
