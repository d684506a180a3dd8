//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const (
	serviceFile  = "/etc/lab/service"
	serviceLog   = "/var/log/service.log"
	servicePID   = "/run/lab/service.pid"
	restartDelay = 100 * time.Millisecond
	pollEvery    = 50 * time.Millisecond
	stopGrace    = 200 * time.Millisecond
	path         = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// service is what the lab wrote to serviceFile.
type service struct {
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
}

// supervise keeps the service running, as systemd does with Restart=always and
// KillMode=process: when it dies it is started again, and its children, such
// as a running apt, live on. All is done by one goroutine with raw system
// calls: os/exec waits by itself, and would lose its child to the reaper.
func supervise() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGINT)
	tick := time.NewTicker(pollEvery)

	pid, notBefore := 0, time.Now()
	for {
		reap(func(child int, status syscall.WaitStatus) {
			if child == pid {
				say("service %d ended: %s", pid, ended(status))
				pid, notBefore = 0, time.Now().Add(restartDelay)
			}
		})
		if pid == 0 && !time.Now().Before(notBefore) {
			var err error
			if pid, err = start(); err != nil {
				say("%v", err)
				pid, notBefore = 0, time.Now().Add(time.Second)
			}
		}
		select {
		case <-died:
		case <-tick.C:
		case <-asked:
			reboot(pid)
		}
	}
}

// start starts the service, or returns 0 if there is none (yet).
func start() (int, error) {
	text, err := os.ReadFile(serviceFile)
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read service: %w", err)
	}
	var s service
	if err := json.Unmarshal(text, &s); err != nil {
		return 0, fmt.Errorf("read service: %w", err)
	}
	if len(s.Argv) == 0 {
		return 0, nil
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		return 0, fmt.Errorf("start service: %w", err)
	}
	defer null.Close()
	log, err := os.OpenFile(serviceLog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, fmt.Errorf("start service: %w", err)
	}
	defer log.Close()
	pid, err := syscall.ForkExec(s.Argv[0], s.Argv, &syscall.ProcAttr{
		Dir:   "/",
		Env:   append([]string{path, "HOME=/root", "LC_ALL=C"}, s.Env...),
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", s.Argv[0], err)
	}
	if err := os.WriteFile(servicePID, []byte(strconv.Itoa(pid)), 0o644); err != nil {
		say("note the service's pid: %v", err)
	}
	say("service %d started", pid)
	return pid, nil
}

// reboot stops everything, the service last told to like all others, and ends
// the namespace. The file systems are not synced: they are in memory, and a
// sync would wait for the disks of the whole machine.
func reboot(service int) {
	say("reboot asked for, service is %d", service)
	kill(syscall.SIGTERM)
	if !emptiedWithin(stopGrace) {
		kill(syscall.SIGKILL)
		emptiedWithin(time.Second)
	}
	if os.Getpid() != 1 { // outside a pid namespace this would restart the machine
		say("not PID 1, no reboot")
		os.Exit(1)
	}
	say("reboot: %v", syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART))
	os.Exit(1)
}

// kill signals all processes of the namespace; -1 never means PID 1 itself.
func kill(s syscall.Signal) {
	if err := syscall.Kill(-1, s); err != nil && err != syscall.ESRCH {
		say("%v to all: %v", s, err)
	}
}

func emptiedWithin(d time.Duration) bool {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if reap(func(int, syscall.WaitStatus) {}) {
			return true
		}
	}
	return false
}

// reap collects every child that has ended, adopted ones too, and says whether
// none is left.
func reap(dead func(pid int, status syscall.WaitStatus)) (none bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case err == syscall.EINTR:
		case err == syscall.ECHILD:
			return true
		case err != nil || pid == 0:
			return false
		default:
			dead(pid, status)
		}
	}
}

func ended(s syscall.WaitStatus) string {
	if s.Signaled() {
		return s.Signal().String()
	}
	return "exit " + strconv.Itoa(s.ExitStatus())
}

// say writes to the console, which the lab keeps beside the server's root.
func say(format string, args ...any) {
	fmt.Printf("%s "+format+"\n", append([]any{time.Now().Format("15:04:05.000")}, args...)...)
}
