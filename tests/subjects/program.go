// program.go - subject: a static program whose run time makes raw system calls from many threads.
//
// SPDX-License-Identifier: GPL-2.0-or-later
package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"sync"
)

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func worker(i int, group *sync.WaitGroup) {
	defer group.Done()
	dir := fmt.Sprintf("made/%02d", i)
	check(os.MkdirAll(dir+"/a/b", 0o755))
	for j := 0; j < 20; j++ {
		name := fmt.Sprintf("%s/file-%02d", dir, j)
		check(os.WriteFile(name, []byte(name), 0o640))
		check(os.Rename(name, fmt.Sprintf("%s/a/renamed-%02d", dir, j)))
	}
	check(os.Remove(dir + "/a/renamed-00"))
	check(os.Symlink("renamed-01", dir+"/a/link"))
	check(os.Chmod(dir+"/a/renamed-02", 0o400))
	check(os.RemoveAll(dir + "/a/b"))
}

func main() {
	var group sync.WaitGroup
	for i := 0; i < 8; i++ {
		group.Add(1)
		go worker(i, &group)
	}
	group.Wait()
	check(os.WriteFile("lower/changed", []byte("by go"), 0o644))
	check(os.RemoveAll("lower/removed"))
	_, err := os.Stat("lower/removed/x")
	fmt.Println("removed:", errors.Is(err, fs.ErrNotExist))
	var lines []string
	check(filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		check(err)
		info, err := entry.Info()
		check(err)
		line := fmt.Sprintf("%s %v", path, info.Mode())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			check(err)
			line += fmt.Sprintf(" %x", sha256.Sum256(data))
		}
		lines = append(lines, line)
		return nil
	}))
	sort.Strings(lines)
	for _, line := range lines {
		fmt.Println(line)
	}
	out, err := exec.Command("/bin/sh", "-c", "echo from a child; cat lower/changed; pwd").CombinedOutput()
	check(err)
	fmt.Print(string(out))
	here, err := os.Getwd()
	check(err)
	self, err := os.Executable()
	check(err)
	fmt.Println(here, self)
}
