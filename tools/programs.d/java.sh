# what: classes compiled, a jar made and run
# packages: default-jdk-headless
# timeout: 300
# prepare
mkdir src; echo 'public class A { public static void main(String[] a) { System.out.println(new B().f(21)); } }' >src/A.java; echo 'class B { int f(int x) { return x * 2; } }' >src/B.java
# run
javac -d out src/*.java; java -Xshare:auto -cp out A; (cd out; jar cfe ../a.jar A *.class); java -jar a.jar; unzip -l a.jar 2>/dev/null | tail -1 | awk '{print $2}'; rm -rf out a.jar
