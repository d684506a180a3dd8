// service is what the containers of TestContainer run: it ends when it is
// asked to, unless its first argument is "deaf".
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	fmt.Println("up")
	for range asked {
		if len(os.Args) < 2 || os.Args[1] != "deaf" {
			return
		}
		fmt.Println("did not hear that")
	}
}
