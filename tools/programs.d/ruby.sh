# what: a gem of the tree built and installed
# packages: ruby
# timeout: 200
# prepare
mkdir lib; echo 'module Demo; def self.f(x) = x * 2; end' >lib/demo.rb; echo 'Gem::Specification.new { |s| s.name = "demo"; s.version = "1"; s.summary = "s"; s.authors = ["a"]; s.files = ["lib/demo.rb"] }' >demo.gemspec
# run
gem build -q demo.gemspec >/dev/null 2>&1; gem install -q --local --no-document -i g demo-1.gem >/dev/null; GEM_PATH=$PWD/g ruby -e 'require "demo"; puts Demo.f(21)'; rm -rf g *.gem
