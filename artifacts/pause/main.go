// What holds a pod's namespaces: it sleeps, takes in the pod's orphans, and ends when it is asked to.
// `pause -v` says what it is and ends at once: by that kubeadm tries, before an upgrade, whether the cluster runs pods.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "-v" {
		fmt.Println("pause of wire-deploy")
		return
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGINT, syscall.SIGTERM)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		// One signal may stand for several processes that ended.
		for {
			process, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			if err != nil || process <= 0 {
				break
			}
		}
	}
}
