# what: a jar with a manifest by javac and jar
# packages: default-jdk-headless
mkdir classes stage
find . -name '*.java' -exec javac -encoding UTF-8 -d classes {} +
jar cfe stage/program.jar "$main" -C classes .
